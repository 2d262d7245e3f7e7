/* Calls that read, write and cut files: with a position, or at the descriptor's own. */

#include "_watch.h"

static struct event *data(enum kind kind, int fd, void *caller, void *frame)
{
    uint32_t file = file_at(fd);
    if (file == NOT_CHOSEN)
        return NULL;
    if (file_type[file] == CHANNEL) {
        boundary(0);
        struct event *event = new_event(kind == READ ? RECEIVE : SEND, now());
        if (event)
            event->fd = fd, event->file = file;
        return event;
    }
    return before(kind, fd, file, caller, frame);
}

static void moved(struct event *event, int64_t at, int64_t count)
{
    passed(count);
    if (!event)
        return;
    if (event->kind == READ || event->kind == WRITE) {
        if (at < 0)
            at = count > 0 ? syscall(SYS_lseek, event->fd, 0, SEEK_CUR) - count : 0;
        event->start = at;
        event->length = count > 0 ? count : 0;
        if (event->kind == WRITE && event->fd < FDS && fd_appends[event->fd])
            event->flags |= APPENDS;
    }
    after(event, count);
}

/* The parts of a buffer, where one of them is in a closed page: as the kernel may see them. */
static const struct iovec *parts_for_kernel(struct iovec *copy, const struct iovec *parts, int count, enum kind kind, void *caller, void *frame)
{
    for (int k = 0; k < count; k++) {
        copy[k].iov_base = for_kernel(parts[k].iov_base, parts[k].iov_len, kind, caller, frame);
        copy[k].iov_len = parts[k].iov_len;
    }
    return copy;
}

#define PARTS(parts, count, kind) \
    (level != ACCESSES || (count) < 1 || (count) > 1024 ? (parts) : parts_for_kernel(__builtin_alloca((size_t)(count) * sizeof *(parts)), parts, count, kind, CALLER))

#define DATA(kind, position, call) \
    if (!recording() || is_left_alone(fd)) return call; \
    inside++; \
    struct event *event = data(kind, fd, CALLER); \
    ssize_t count = WAITING_IN(call); \
    int error = errno; \
    moved(event, position, count); \
    inside--; \
    errno = error; \
    return count;

PUBLIC ssize_t read(int fd, void *to, size_t size) { REAL(ssize_t, read, int, void *, size_t) DATA(READ, -1, real(fd, for_kernel(to, size, STORE, CALLER), size)) }
PUBLIC ssize_t write(int fd, const void *from, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t)
    if (fd == TRACEBACK && takes_traceback)
        return take_traceback(from, size), (ssize_t)size;
    if (!recording() || is_left_alone(fd))
        return real(fd, for_kernel(from, size, LOAD, CALLER), size);
    inside++;
    struct event *event = data(WRITE, fd, CALLER);
    ssize_t count = WAITING_IN(real(fd, for_kernel(from, size, LOAD, CALLER), size));
    int error = errno;
    if (event && count > 0 && ((const char *)from)[count - 1] == '\n')
        event->flags |= ENDS_LINE;
    moved(event, -1, count);
    inside--;
    errno = error;
    return count;
}
PUBLIC ssize_t pread(int fd, void *to, size_t size, off_t at) { REAL(ssize_t, pread, int, void *, size_t, off_t) DATA(READ, at, real(fd, for_kernel(to, size, STORE, CALLER), size, at)) }
PUBLIC ssize_t pread64(int fd, void *to, size_t size, off64_t at) { REAL(ssize_t, pread64, int, void *, size_t, off64_t) DATA(READ, at, real(fd, for_kernel(to, size, STORE, CALLER), size, at)) }
PUBLIC ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { REAL(ssize_t, pwrite, int, const void *, size_t, off_t) DATA(WRITE, at, real(fd, for_kernel(from, size, LOAD, CALLER), size, at)) }
PUBLIC ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t) DATA(WRITE, at, real(fd, for_kernel(from, size, LOAD, CALLER), size, at)) }
PUBLIC ssize_t __read_chk(int fd, void *to, size_t size, size_t most) { REAL(ssize_t, __read_chk, int, void *, size_t, size_t) DATA(READ, -1, real(fd, for_kernel(to, size, STORE, CALLER), size, most)) }
PUBLIC ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t most) { REAL(ssize_t, __pread_chk, int, void *, size_t, off_t, size_t) DATA(READ, at, real(fd, for_kernel(to, size, STORE, CALLER), size, at, most)) }
PUBLIC ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t most) { REAL(ssize_t, __pread64_chk, int, void *, size_t, off64_t, size_t) DATA(READ, at, real(fd, for_kernel(to, size, STORE, CALLER), size, at, most)) }
PUBLIC ssize_t readv(int fd, const struct iovec *to, int count_) { REAL(ssize_t, readv, int, const struct iovec *, int) DATA(READ, -1, real(fd, PARTS(to, count_, STORE), count_)) }
PUBLIC ssize_t writev(int fd, const struct iovec *from, int count_)
{
    REAL(ssize_t, writev, int, const struct iovec *, int)
    if (!recording() || is_left_alone(fd))
        return real(fd, PARTS(from, count_, LOAD), count_);
    inside++;
    struct event *event = data(WRITE, fd, CALLER);
    const struct iovec *parts = PARTS(from, count_, LOAD);
    ssize_t count = WAITING_IN(real(fd, parts, count_));
    int error = errno;
    const struct iovec *last = count_ > 0 ? &from[count_ - 1] : NULL;
    if (event && count > 0 && last && last->iov_len && ((const char *)last->iov_base)[last->iov_len - 1] == '\n')
        event->flags |= ENDS_LINE;
    moved(event, -1, count);
    inside--;
    errno = error;
    return count;
}
#define VECTORS(name, kind) PUBLIC ssize_t name(int fd, const struct iovec *parts, int count_, off_t at) { REAL(ssize_t, name, int, const struct iovec *, int, off_t) DATA(kind, at, real(fd, PARTS(parts, count_, kind == READ ? STORE : LOAD), count_, at)) }
VECTORS(preadv, READ) VECTORS(preadv64, READ) VECTORS(pwritev, WRITE) VECTORS(pwritev64, WRITE)
#define VECTORS_2(name, kind) PUBLIC ssize_t name(int fd, const struct iovec *parts, int count_, off_t at, int flags) { REAL(ssize_t, name, int, const struct iovec *, int, off_t, int) DATA(kind, at, real(fd, PARTS(parts, count_, kind == READ ? STORE : LOAD), count_, at, flags)) }
VECTORS_2(preadv2, READ) VECTORS_2(preadv64v2, READ) VECTORS_2(pwritev2, WRITE) VECTORS_2(pwritev64v2, WRITE)

static ssize_t between(ssize_t (*call)(int, int64_t *, int, int64_t *, size_t, unsigned), int in, int64_t *from, int out, int64_t *to, size_t size, unsigned flags, void *caller, void *frame)
{
    if (!recording())
        return call(in, from, out, to, size, flags);
    inside++;
    int64_t source = from ? *from : -1, target = to ? *to : -1;
    struct event *read = data(READ, in, caller, frame), *written = data(WRITE, out, caller, frame);
    ssize_t count = call(in, from, out, to, size, flags);
    int error = errno;
    moved(read, source, count);
    moved(written, target, count);
    inside--;
    errno = error;
    return count;
}

static ssize_t send_file(int in, int64_t *from, int out, int64_t *to, size_t size, unsigned flags) { (void)to, (void)flags; return syscall(SYS_sendfile, out, in, from, size); }
static ssize_t copy_range(int in, int64_t *from, int out, int64_t *to, size_t size, unsigned flags) { return syscall(SYS_copy_file_range, in, from, out, to, size, flags); }
PUBLIC ssize_t sendfile(int out, int in, off_t *from, size_t size) { return between(send_file, in, from, out, NULL, size, 0, CALLER); }
PUBLIC ssize_t sendfile64(int out, int in, off64_t *from, size_t size) { return between(send_file, in, from, out, NULL, size, 0, CALLER); }
PUBLIC ssize_t copy_file_range(int in, off64_t *from, int out, off64_t *to, size_t size, unsigned flags) { return between(copy_range, in, from, out, to, size, flags, CALLER); }

static int truncated(uint32_t file, int fd, int64_t size, int (*by_fd)(int, off_t), int (*by_path)(const char *, off_t), const char *path, void *caller, void *frame)
{
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before_range(TRUNCATE, fd, file, size, 0, 0, caller, frame);
    int result = by_fd ? by_fd(fd, size) : by_path(path, size), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

#define TRUNCATES(name) \
    PUBLIC int f##name(int fd, off_t size) { REAL(int, f##name, int, off_t) if (!recording()) return real(fd, size); inside++; return truncated(file_at(fd), fd, size, real, NULL, NULL, CALLER); } \
    PUBLIC int name(const char *path, off_t size) { REAL(int, name, const char *, off_t) path = TEXT(path); if (!recording()) return real(path, size); inside++; return truncated(file_named(AT_FDCWD, path, 1), -1, size, NULL, real, path, CALLER); }
TRUNCATES(truncate) TRUNCATES(truncate64)

/* Sockets: no shared file, but the buffer may be one. */

PUBLIC ssize_t recv(int fd, void *to, size_t size, int flags) { REAL(ssize_t, recv, int, void *, size_t, int) ssize_t count = real(fd, for_kernel(to, size, STORE, CALLER), size, flags); passed(count); return count; }
PUBLIC ssize_t send(int fd, const void *from, size_t size, int flags) { REAL(ssize_t, send, int, const void *, size_t, int) ssize_t count = real(fd, for_kernel(from, size, LOAD, CALLER), size, flags); passed(count); return count; }
PUBLIC ssize_t recvfrom(int fd, void *to, size_t size, int flags, struct sockaddr *who, socklen_t *length) { REAL(ssize_t, recvfrom, int, void *, size_t, int, struct sockaddr *, socklen_t *) ssize_t count = real(fd, for_kernel(to, size, STORE, CALLER), size, flags, who, length); passed(count); return count; }
PUBLIC ssize_t sendto(int fd, const void *from, size_t size, int flags, const struct sockaddr *who, socklen_t length) { REAL(ssize_t, sendto, int, const void *, size_t, int, const struct sockaddr *, socklen_t) ssize_t count = real(fd, for_kernel(from, size, LOAD, CALLER), size, flags, who, length); passed(count); return count; }
PUBLIC ssize_t getrandom(void *to, size_t size, unsigned flags) { REAL(ssize_t, getrandom, void *, size_t, unsigned) ssize_t count = real(for_kernel(to, size, STORE, CALLER), size, flags); passed(count); return count; }

/* The parts of a message that the kernel is given, as it may see them. */
static struct msghdr *message_for_kernel(struct msghdr *copy, const struct msghdr *its, struct iovec *parts, enum kind kind, void *caller, void *frame)
{
    *copy = *its;
    copy->msg_name = for_kernel(its->msg_name, its->msg_namelen, kind, caller, frame);
    copy->msg_control = for_kernel(its->msg_control, its->msg_controllen, kind, caller, frame);
    copy->msg_iov = (struct iovec *)parts_for_kernel(parts, alias_of(its->msg_iov), (int)its->msg_iovlen, kind, caller, frame);
    return copy;
}

#define COPIED(its, kind) message_for_kernel(&(struct msghdr){0}, its, __builtin_alloca((its)->msg_iovlen * sizeof(struct iovec)), kind, CALLER)
#define IS_COPIED(its) (level == ACCESSES && mapping_count && !inside && (its)->msg_iovlen <= 1024)

PUBLIC ssize_t sendmsg(int fd, const struct msghdr *its, int flags)
{
    REAL(ssize_t, sendmsg, int, const struct msghdr *, int)
    ssize_t count = real(fd, IS_COPIED(its) ? COPIED(its, LOAD) : its, flags);
    passed(count);
    return count;
}

PUBLIC ssize_t recvmsg(int fd, struct msghdr *its, int flags)
{
    REAL(ssize_t, recvmsg, int, struct msghdr *, int)
    if (!IS_COPIED(its))
        return real(fd, its, flags);
    struct msghdr *copy = COPIED(its, STORE);
    ssize_t count = real(fd, copy, flags);
    passed(count);
    if (count >= 0)
        its->msg_namelen = copy->msg_namelen, its->msg_controllen = copy->msg_controllen, its->msg_flags = copy->msg_flags;
    return count;
}

#define PAIRS(name, own, other) \
    PUBLIC ssize_t name(pid_t pid, const struct iovec *mine, unsigned long count_, const struct iovec *its, unsigned long others, unsigned long flags) \
    { \
        REAL(ssize_t, name, pid_t, const struct iovec *, unsigned long, const struct iovec *, unsigned long, unsigned long) \
        return real(pid, PARTS(mine, (int)count_, own), count_, pid == getpid() ? PARTS(its, (int)others, other) : its, others, flags); \
    }
PAIRS(process_vm_readv, STORE, LOAD) PAIRS(process_vm_writev, LOAD, STORE)
PUBLIC ssize_t vmsplice(int fd, const struct iovec *parts, size_t count_, unsigned flags) { REAL(ssize_t, vmsplice, int, const struct iovec *, size_t, unsigned) return real(fd, PARTS(parts, (int)count_, LOAD), count_, flags); }
