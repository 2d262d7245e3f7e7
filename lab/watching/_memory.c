/* Functions of the C library that read memory, and system calls that are given memory, which may be a mapping whose pages
   are closed: they work on its alias. What they read or wrote is recorded: exactly what they had to. */

#include "_watch.h"

#include <dirent.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/times.h>
#include <sys/utsname.h>

/* How many bytes from an address on are readable in a watched mapping; 0 outside of them. */
static size_t room_at(const void *at)
{
    struct mapping *map = level == ACCESSES && mapping_count && !inside ? mapping_at(at) : NULL;
    return map && map->alias && map->protection & PROT_READ ? (size_t)(map->at + map->size - (const char *)at) : 0;
}

/* Vector code reads more than it uses, and compares what it has read in ways that the decoder cannot tell from a search.
   Compared is up to the first difference. */

#define COMPARES(name) \
    PUBLIC int name(const void *one, const void *other, size_t size) \
    { REAL(int, name, const void *, const void *, size_t) return size && (room_at(one) >= size || room_at(other) >= size) ? compared(real, one, other, size, CALLER) : real(one, other, size); }

static int compared(int (*real)(const void *, const void *, size_t), const void *one, const void *other, size_t size, void *caller, void *frame)
{
    const unsigned char *x = room_at(one) >= size ? alias_of(one) : one, *y = room_at(other) >= size ? alias_of(other) : other;
    int result = real(x, y, size);
    size_t used = 0;
    while (result && used + 1 < size && x[used] == y[used])
        used++;
    used = result ? used + 1 : size;
    if (x != one)
        has_read(one, used, caller, frame);
    if (y != other)
        has_read(other, used, caller, frame);
    return result;
}

COMPARES(memcmp) COMPARES(bcmp) COMPARES(__memcmpeq)

static int compared_text(int (*real)(const char *, const char *, size_t), const char *one, const char *other, size_t size, void *caller, void *frame)
{
    size_t first = room_at(one), second = room_at(other), most = size, used = 0;
    const unsigned char *x = first ? alias_of(one) : one, *y = second ? alias_of(other) : other;
    most = first && first < most ? first : most;
    most = second && second < most ? second : most;
    while (used < most && x[used] == y[used] && x[used])
        used++;
    if (used == most && used < size)
        return real(one, other, size); /* it goes on behind the mapping */
    if (x != (const void *)one && size)
        has_read(one, used == size ? size : used + 1, caller, frame);
    if (y != (const void *)other && size)
        has_read(other, used == size ? size : used + 1, caller, frame);
    return used == size ? 0 : x[used] - y[used];
}

PUBLIC int strncmp(const char *one, const char *other, size_t size) { REAL(int, strncmp, const char *, const char *, size_t) return room_at(one) || room_at(other) ? compared_text(real, one, other, size, CALLER) : real(one, other, size); }
PUBLIC int strcmp(const char *one, const char *other)
{
    REAL(int, strcmp, const char *, const char *)
    static int (*bounded)(const char *, const char *, size_t);
    if (!room_at(one) && !room_at(other))
        return real(one, other);
    if (!bounded)
        bounded = (int (*)(const char *, const char *, size_t))dlsym(RTLD_NEXT, "strncmp");
    return compared_text(bounded, one, other, SIZE_MAX, CALLER);
}

PUBLIC size_t strlen(const char *text)
{
    REAL(size_t, strlen, const char *)
    size_t room = room_at(text), length = room ? strnlen(alias_of(text), room) : 0;
    if (length == room)
        return real(text);
    has_read(text, length + 1, CALLER);
    return length;
}

PUBLIC void *memchr(const void *at, int byte, size_t size)
{
    REAL(void *, memchr, const void *, int, size_t)
    if (!size || room_at(at) < size)
        return real(at, byte, size);
    const char *its = alias_of(at), *found = real(its, byte, size);
    size_t used = found ? (size_t)(found - its) + 1 : size;
    has_read(at, used, CALLER);
    return found ? (char *)at + used - 1 : NULL;
}

/* -- What the kernel is given */

/* A text, such as a path. */
const char *text_for_kernel(const char *text, void *caller, void *frame)
{
    size_t room = text ? room_at(text) : 0, length = room ? strnlen(alias_of(text), room) : 0;
    return room ? for_kernel(text, length < room ? length + 1 : room, LOAD, caller, frame) : text;
}

/* An array of texts, with NULL behind the last. */
char *const *words_for_kernel(char *const *words, char **copy, int count, void *caller, void *frame)
{
    for (int k = 0; k < count; k++)
        copy[k] = (char *)text_for_kernel(words[k], caller, frame);
    copy[count] = NULL;
    return copy;
}

#define GIVEN(result, name, parameters, arguments) \
    PUBLIC result name parameters \
    { \
        static __typeof__(&name) real; \
        if (!real) { void *found = dlsym(RTLD_NEXT, #name); memcpy(&real, &found, sizeof real); } \
        result given = real arguments; \
        if (given == (result)-1 && level == ACCESSES && !inside) passed(0); \
        return given; \
    }
#define FROM(at) LENT(at, sizeof *(at), LOAD)
#define TO(at) LENT(at, sizeof *(at), STORE)

/* Files and their names. */
#define STATS(stat, lstat, fstat, fstatat, type) \
    GIVEN(int, stat, (const char *path, type *to), (TEXT(path), TO(to))) \
    GIVEN(int, lstat, (const char *path, type *to), (TEXT(path), TO(to))) \
    GIVEN(int, fstat, (int fd, type *to), (fd, TO(to))) \
    GIVEN(int, fstatat, (int at, const char *path, type *to, int flags), (at, TEXT(path), TO(to), flags))
STATS(stat, lstat, fstat, fstatat, struct stat)
STATS(stat64, lstat64, fstat64, fstatat64, struct stat64)
GIVEN(int, statx, (int at, const char *path, int flags, unsigned mask, struct statx *to), (at, TEXT(path), flags, mask, TO(to)))
GIVEN(int, access, (const char *path, int mode), (TEXT(path), mode))
GIVEN(int, faccessat, (int at, const char *path, int mode, int flags), (at, TEXT(path), mode, flags))
GIVEN(int, mkdir, (const char *path, mode_t mode), (TEXT(path), mode))
GIVEN(int, mkdirat, (int at, const char *path, mode_t mode), (at, TEXT(path), mode))
GIVEN(int, rmdir, (const char *path), (TEXT(path)))
GIVEN(int, chdir, (const char *path), (TEXT(path)))
GIVEN(int, chmod, (const char *path, mode_t mode), (TEXT(path), mode))
GIVEN(int, fchmodat, (int at, const char *path, mode_t mode, int flags), (at, TEXT(path), mode, flags))
GIVEN(int, chown, (const char *path, uid_t user, gid_t group), (TEXT(path), user, group))
GIVEN(int, link, (const char *from, const char *to), (TEXT(from), TEXT(to)))
GIVEN(int, linkat, (int from_at, const char *from, int to_at, const char *to, int flags), (from_at, TEXT(from), to_at, TEXT(to), flags))
GIVEN(int, symlink, (const char *to, const char *path), (TEXT(to), TEXT(path)))
GIVEN(int, symlinkat, (const char *to, int at, const char *path), (TEXT(to), at, TEXT(path)))
GIVEN(DIR *, opendir, (const char *path), (TEXT(path)))
GIVEN(ssize_t, readlink, (const char *path, char *to, size_t size), (TEXT(path), LENT(to, size, STORE), size))
GIVEN(ssize_t, readlinkat, (int at, const char *path, char *to, size_t size), (at, TEXT(path), LENT(to, size, STORE), size))

PUBLIC char *getcwd(char *to, size_t size)
{
    REAL(char *, getcwd, char *, size_t)
    char *its = to ? LENT(to, size, STORE) : NULL, *found = real(its, size);
    if (level == ACCESSES && !inside)
        passed(found ? (int64_t)strlen(found) + 1 : 0);
    return found == its ? to : found;
}

/* Descriptors and sockets. */
GIVEN(int, pipe, (int ends[2]), (LENT((int *)ends, 2 * sizeof *ends, STORE)))
GIVEN(int, pipe2, (int ends[2], int flags), (LENT((int *)ends, 2 * sizeof *ends, STORE), flags))
GIVEN(int, socketpair, (int family, int type, int protocol, int ends[2]), (family, type, protocol, LENT((int *)ends, 2 * sizeof *ends, STORE)))
GIVEN(int, bind, (int fd, const struct sockaddr *who, socklen_t size), (fd, LENT(who, size, LOAD), size))
GIVEN(int, connect, (int fd, const struct sockaddr *who, socklen_t size), (fd, LENT(who, size, LOAD), size))
GIVEN(int, setsockopt, (int fd, int layer, int name, const void *value, socklen_t size), (fd, layer, name, LENT(value, size, LOAD), size))
#define NAMES(name) GIVEN(int, name, (int fd, struct sockaddr *who, socklen_t *size), (fd, who ? LENT(who, *size, STORE) : who, TO(size)))
NAMES(getsockname) NAMES(getpeername) NAMES(accept)
GIVEN(int, accept4, (int fd, struct sockaddr *who, socklen_t *size, int flags), (fd, who ? LENT(who, *size, STORE) : who, TO(size), flags))
GIVEN(int, getsockopt, (int fd, int layer, int name, void *to, socklen_t *size), (fd, layer, name, LENT(to, *size, STORE), TO(size)))
GIVEN(int, poll, (struct pollfd *its, nfds_t count, int milliseconds), (LENT(its, count * sizeof *its, STORE), count, milliseconds))
#define SET(set) LENT(set, (size_t)((count + 63) / 64 * 8), STORE)
GIVEN(int, select, (int count, fd_set *reads, fd_set *writes, fd_set *fails, struct timeval *time), (count, SET(reads), SET(writes), SET(fails), TO(time)))
GIVEN(int, epoll_wait, (int fd, struct epoll_event *to, int count, int milliseconds), (fd, LENT(to, (size_t)(count > 0 ? count : 0) * sizeof *to, STORE), count, milliseconds))
GIVEN(int, epoll_ctl, (int fd, int what, int about_fd, struct epoll_event *its), (fd, what, about_fd, FROM(its)))
PUBLIC int ioctl(int fd, unsigned long command, ...)
{
    REAL(int, ioctl, int, unsigned long, ...)
    va_list more;
    va_start(more, command);
    void *value = va_arg(more, void *);
    va_end(more);
    return real(fd, command, alias_of(value)); /* how much it is, each driver says itself */
}

/* Time, limits, and the system. */
PUBLIC int clock_gettime(clockid_t clock, struct timespec *to)
{
    REAL(int, clock_gettime, clockid_t, struct timespec *)
    int by_kernel = clock < 0 || clock == CLOCK_PROCESS_CPUTIME_ID || clock == CLOCK_THREAD_CPUTIME_ID;
    return real(clock, by_kernel ? TO(to) : to);
}
GIVEN(int, nanosleep, (const struct timespec *time, struct timespec *rest), (FROM(time), alias_of(rest)))
GIVEN(int, clock_nanosleep, (clockid_t clock, int flags, const struct timespec *time, struct timespec *rest), (clock, flags, FROM(time), alias_of(rest)))
GIVEN(int, getrusage, (int who, struct rusage *to), (who, TO(to)))
GIVEN(int, getrlimit, (__rlimit_resource_t what, struct rlimit *to), (what, TO(to)))
GIVEN(int, getrlimit64, (__rlimit_resource_t what, struct rlimit64 *to), (what, TO(to)))
GIVEN(int, setrlimit, (__rlimit_resource_t what, const struct rlimit *its), (what, FROM(its)))
GIVEN(int, setrlimit64, (__rlimit_resource_t what, const struct rlimit64 *its), (what, FROM(its)))
GIVEN(int, getitimer, (__itimer_which_t which, struct itimerval *to), (which, TO(to)))
GIVEN(int, setitimer, (__itimer_which_t which, const struct itimerval *its, struct itimerval *old), (which, FROM(its), TO(old)))
GIVEN(int, uname, (struct utsname *to), (TO(to)))
GIVEN(int, sysinfo, (struct sysinfo *to), (TO(to)))
GIVEN(clock_t, times, (struct tms *to), (TO(to)))
GIVEN(int, getgroups, (int count, gid_t *to), (count, LENT(to, (size_t)(count > 0 ? count : 0) * sizeof *to, STORE)))
GIVEN(int, getentropy, (void *to, size_t size), (LENT(to, size, STORE), size))
GIVEN(int, sched_getaffinity, (pid_t pid, size_t size, cpu_set_t *to), (pid, size, LENT(to, size, STORE)))
GIVEN(int, sched_setaffinity, (pid_t pid, size_t size, const cpu_set_t *its), (pid, size, LENT(its, size, LOAD)))
GIVEN(int, mincore, (void *at, size_t size, unsigned char *to), (at, size, LENT(to, (size + PAGE - 1) / PAGE, STORE)))
GIVEN(int, mlock2, (const void *at, size_t size, unsigned flags), (alias_of(at), size, flags))
