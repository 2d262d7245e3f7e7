/* Calls that open, close and name files, and that lock them. */

#include "_watch.h"

/* Files are opened. */

int opened(int fd, int flags, uint64_t begun, const char *path, int at, void *caller, void *frame)
{
    int error = errno;
    if (!recording())
        return fd;
    inside++;
    if (fd >= 0) {
        forget_fd(fd);
        uint32_t file = file_at(fd);
        if (file != NOT_CHOSEN && file_type[file] == REGULAR) {
            struct event *event = before(OPEN, fd, file, caller, frame);
            if (event)
                event->begin = begun, event->other = flags, after(event, 0);
        }
    } else if (error == EEXIST && flags & O_EXCL) {
        uint32_t file = file_named(at, path, 1);
        if (file != NOT_CHOSEN) {
            struct event *event = before(TAKEN, -1, file, caller, frame);
            if (event)
                event->begin = begun, event->other = flags, event->result = -EEXIST, event->end = now();
        }
    }
    inside--;
    errno = error;
    return fd;
}

#define MODE(flags, last) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) { va_list more; va_start(more, last); mode = (mode_t)va_arg(more, int); va_end(more); }

#define OPENS(name) \
    PUBLIC int name(const char *path, int flags, ...) \
    { REAL(int, name, const char *, int, ...) MODE(flags, flags) path = TEXT(path); uint64_t begun = now(); return opened(real(path, flags, mode), flags, begun, path, AT_FDCWD, CALLER); }
#define OPENS_AT(name) \
    PUBLIC int name(int at, const char *path, int flags, ...) \
    { REAL(int, name, int, const char *, int, ...) MODE(flags, flags) path = TEXT(path); uint64_t begun = now(); return opened(real(at, path, flags, mode), flags, begun, path, at, CALLER); }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)

PUBLIC int __open_2(const char *path, int flags) { REAL(int, __open_2, const char *, int) path = TEXT(path); uint64_t begun = now(); return opened(real(path, flags), flags, begun, path, AT_FDCWD, CALLER); }
PUBLIC int __open64_2(const char *path, int flags) { REAL(int, __open64_2, const char *, int) path = TEXT(path); uint64_t begun = now(); return opened(real(path, flags), flags, begun, path, AT_FDCWD, CALLER); }
PUBLIC int creat(const char *path, mode_t mode) { REAL(int, creat, const char *, mode_t) path = TEXT(path); uint64_t begun = now(); return opened(real(path, mode), O_CREAT | O_WRONLY | O_TRUNC, begun, path, AT_FDCWD, CALLER); }
PUBLIC int creat64(const char *path, mode_t mode) { REAL(int, creat64, const char *, mode_t) path = TEXT(path); uint64_t begun = now(); return opened(real(path, mode), O_CREAT | O_WRONLY | O_TRUNC, begun, path, AT_FDCWD, CALLER); }

/* Descriptors are closed and copied. */

struct event *closing(int fd, void *caller, void *frame)
{
    uint32_t file = file_at(fd);
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before(CLOSE, fd, file, caller, frame);
    forget_fd(fd);
    return event;
}

PUBLIC int close(int fd)
{
    REAL(int, close, int)
    if (!recording() || fd < 0)
        return real(fd);
    if (is_own_descriptor(fd)) {
        errno = EBADF; /* the program has not opened it */
        return -1;
    }
    inside++;
    struct event *event = closing(fd, CALLER);
    int result = real(fd), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

static void closes_all(unsigned low, unsigned high, void *caller, void *frame)
{
    for (unsigned fd = low; fd <= high && fd < FDS; fd++)
        if (atomic_load_explicit(&fd_file[fd], memory_order_relaxed) != UNKNOWN || (fd < 1024 && syscall(SYS_fcntl, fd, F_GETFD) >= 0))
            after(closing((int)fd, caller, frame), 0);
}

PUBLIC int close_range(unsigned low, unsigned high, int flags)
{
    REAL(int, close_range, unsigned, unsigned, int)
    if (recording() && !(flags & 4)) { /* CLOSE_RANGE_CLOEXEC closes nothing now */
        inside++;
        closes_all(low, high, CALLER);
        inside--;
    }
    for (unsigned fd = low; log_ && level == PAGES && fd <= high && fd < FDS; fd++)
        if (is_own_descriptor((int)fd)) {
            int result = fd > low ? real(low, fd - 1, flags) : 0;
            if (result || fd == high)
                return result;
            low = fd + 1;
        }
    return real(low, high, flags);
}

PUBLIC void closefrom(int low)
{
    REAL(void, closefrom, int)
    if (recording()) {
        inside++;
        closes_all(low < 0 ? 0 : (unsigned)low, UINT32_MAX, CALLER);
        inside--;
    }
    if (log_ && level == PAGES)
        close_range(low < 0 ? 0 : (unsigned)low, UINT32_MAX, 0);
    else
        real(low);
}

static int duplicated(int fd, int copy, uint64_t begun, void *caller, void *frame)
{
    int error = errno;
    if (copy >= 0 && copy != fd && recording()) {
        inside++;
        uint32_t file = file_at(fd);
        forget_fd(copy);
        if (file != NOT_CHOSEN && file_type[file] == REGULAR) {
            struct event *event = before(DUP, fd, file, caller, frame);
            if (event)
                event->begin = begun, event->other = copy, after(event, 0);
        }
        inside--;
    }
    errno = error;
    return copy;
}

static void closed_by_dup(int fd, int copy, void *caller, void *frame)
{
    if (copy != fd && copy >= 0 && recording() && syscall(SYS_fcntl, copy, F_GETFD) >= 0) {
        inside++;
        after(closing(copy, caller, frame), 0);
        inside--;
    }
}

PUBLIC int dup(int fd) { REAL(int, dup, int) uint64_t begun = now(); return duplicated(fd, real(fd), begun, CALLER); }
PUBLIC int dup2(int fd, int copy) { REAL(int, dup2, int, int) uint64_t begun = now(); closed_by_dup(fd, copy, CALLER); return duplicated(fd, real(fd, copy), begun, CALLER); }
PUBLIC int dup3(int fd, int copy, int flags) { REAL(int, dup3, int, int, int) uint64_t begun = now(); closed_by_dup(fd, copy, CALLER); return duplicated(fd, real(fd, copy, flags), begun, CALLER); }

/* Locks. */

static int mode_of(int type) { return type == F_RDLCK ? SHARED : type == F_WRLCK ? EXCLUSIVE : RELEASED; }
static int mode_of_flock(int operation) { return operation == LOCK_SH ? SHARED : operation == LOCK_EX ? EXCLUSIVE : RELEASED; }

static struct event *before_lock(enum kind kind, int fd, uint32_t file, const struct flock *lock, int flags, void *caller, void *frame)
{
    int64_t start = lock->l_start, length = lock->l_len;
    struct stat found;
    if (lock->l_whence == SEEK_CUR)
        start += syscall(SYS_lseek, fd, 0, SEEK_CUR);
    else if (lock->l_whence == SEEK_END && !fstat(fd, &found))
        start += found.st_size;
    if (length < 0)
        start += length, length = -length;
    return before_range(kind, fd, file, start, length, flags, caller, frame);
}

static int fcntl_any(int (*real)(int, int, ...), int fd, int command, void *value, void *caller, void *frame)
{
    int locks = command == F_SETLK || command == F_SETLKW, ofd = command == F_OFD_SETLK || command == F_OFD_SETLKW;
    if (command == F_DUPFD || command == F_DUPFD_CLOEXEC) {
        uint64_t begun = now();
        return duplicated(fd, real(fd, command, value), begun, caller, frame);
    }
    if (command == F_SETFL && recording())
        forget_fd(fd);
    if (locks || ofd || command == F_GETLK || command == F_OFD_GETLK)
        value = level == ACCESSES && !inside ? for_kernel(value, sizeof(struct flock), locks || ofd ? LOAD : STORE, caller, frame) : value;
    if (!(locks || ofd) || !recording() || !value || is_left_alone(fd))
        return real(fd, command, value);
    inside++;
    uint32_t file = file_at(fd);
    const struct flock *lock = value;
    int flags = mode_of(lock->l_type) | (command == F_SETLKW || command == F_OFD_SETLKW ? WAITS : 0);
    struct event *event = file == NOT_CHOSEN ? NULL : before_lock(ofd ? OFD : POSIX, fd, file, lock, flags, caller, frame);
    int result = WAITING_IN(real(fd, command, value)), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

#define FCNTL(name) \
    PUBLIC int name(int fd, int command, ...) \
    { REAL(int, name, int, int, ...) va_list more; va_start(more, command); void *value = va_arg(more, void *); va_end(more); return fcntl_any(real, fd, command, value, CALLER); }
FCNTL(fcntl) FCNTL(fcntl64)

PUBLIC int flock(int fd, int operation)
{
    REAL(int, flock, int, int)
    if (!recording())
        return real(fd, operation);
    inside++;
    uint32_t file = file_at(fd);
    int flags = mode_of_flock(operation & ~LOCK_NB) | (operation & LOCK_NB ? 0 : WAITS);
    struct event *event = file == NOT_CHOSEN ? NULL : before_range(FLOCKED, fd, file, 0, 0, flags, CALLER);
    int result = WAITING_IN(real(fd, operation)), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

static int lockf_any(int (*real)(int, int, off_t), int fd, int command, off_t length, void *caller, void *frame)
{
    if (command == F_TEST || !recording())
        return real(fd, command, length);
    inside++;
    uint32_t file = file_at(fd);
    struct flock lock = {.l_whence = SEEK_CUR, .l_len = length};
    int flags = (command == F_ULOCK ? RELEASED : EXCLUSIVE) | (command == F_LOCK ? WAITS : 0);
    struct event *event = file == NOT_CHOSEN ? NULL : before_lock(POSIX, fd, file, &lock, flags, caller, frame);
    int result = WAITING_IN(real(fd, command, length)), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

PUBLIC int lockf(int fd, int command, off_t length) { REAL(int, lockf, int, int, off_t) return lockf_any(real, fd, command, length, CALLER); }
PUBLIC int lockf64(int fd, int command, off64_t length) { REAL(int, lockf64, int, int, off64_t) return lockf_any(real, fd, command, length, CALLER); }

/* Names. */

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags, void *caller, void *frame)
{
    uint32_t moved_ = file_named(from_at, from, 0), replaced = file_named(to_at, to, 0);
    uint32_t file = moved_ != NOT_CHOSEN ? moved_ : replaced;
    struct event *event = file == NOT_CHOSEN ? NULL : before(RENAME, -1, file, caller, frame);
    if (event)
        event->start = replaced == NOT_CHOSEN ? 0 : replaced;
    int result = (int)syscall(SYS_renameat2, from_at, from, to_at, to, flags), error = errno;
    if (event && !result) {
        static char line[4400];
        lock_table();
        make_whole(to_at, to);
        plain(whole);
        write_text(line, (size_t)snprintf(line, sizeof line, "name %u %.4200s\n", file, whole));
        unlock_table();
    }
    errno = error;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

PUBLIC int rename(const char *from, const char *to) { REAL(int, rename, const char *, const char *) from = TEXT(from), to = TEXT(to); if (!recording()) return real(from, to); inside++; return renamed(AT_FDCWD, from, AT_FDCWD, to, 0, CALLER); }
PUBLIC int renameat(int from_at, const char *from, int to_at, const char *to) { REAL(int, renameat, int, const char *, int, const char *) from = TEXT(from), to = TEXT(to); if (!recording()) return real(from_at, from, to_at, to); inside++; return renamed(from_at, from, to_at, to, 0, CALLER); }
PUBLIC int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) { REAL(int, renameat2, int, const char *, int, const char *, unsigned) from = TEXT(from), to = TEXT(to); if (!recording()) return real(from_at, from, to_at, to, flags); inside++; return renamed(from_at, from, to_at, to, flags, CALLER); }

static int unlinked(int at, const char *path, int flags, void *caller, void *frame)
{
    uint32_t file = flags & AT_REMOVEDIR ? NOT_CHOSEN : file_named(at, path, 0);
    struct event *event = file == NOT_CHOSEN ? NULL : before(UNLINK, -1, file, caller, frame);
    int result = (int)syscall(SYS_unlinkat, at, path, flags), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

PUBLIC int unlink(const char *path) { REAL(int, unlink, const char *) path = TEXT(path); if (!recording()) return real(path); inside++; return unlinked(AT_FDCWD, path, 0, CALLER); }
PUBLIC int unlinkat(int at, const char *path, int flags) { REAL(int, unlinkat, int, const char *, int) path = TEXT(path); if (!recording()) return real(at, path, flags); inside++; return unlinked(at, path, flags, CALLER); }
PUBLIC int remove(const char *path)
{
    REAL(int, remove, const char *)
    struct statx found;
    path = TEXT(path);
    if (!recording() || about(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &found) || S_ISDIR(found.stx_mode))
        return real(path);
    inside++;
    return unlinked(AT_FDCWD, path, 0, CALLER);
}
