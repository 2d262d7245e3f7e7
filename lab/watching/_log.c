/* The log of this process: events of a fixed size in a mapped file that grows, and text beside it. */

#include "_watch.h"

enum { HEAD = 4096, FIRST = 1 << 16, GROW = 1 << 20, PIECES = 1 << 13 };

struct header *log_;
static char *pieces[PIECES]; /* of the log, behind its first part; each stays where it is mapped */
static _Atomic uint64_t limit; /* events that the log has room for */
char folder[512], log_path[600], text_path[600];
atomic_flag table = ATOMIC_FLAG_INIT;

__thread int inside __attribute__((tls_model("initial-exec")));
__thread int thread_id __attribute__((tls_model("initial-exec")));

/* Text beside the log: opened anew each time, since programs close descriptors that they do not know. */
void write_text(const char *text, size_t length)
{
    int file = (int)syscall(SYS_openat, AT_FDCWD, text_path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    struct rlimit most; /* beyond it the kernel would send SIGXFSZ, which ends the program */
    struct stat its;
    if (file < 0)
        return;
    if (fstat(file, &its) || getrlimit(RLIMIT_FSIZE, &most) || (uint64_t)its.st_size + length > most.rlim_cur ||
        syscall(SYS_write, file, text, length) < 0)
        atomic_fetch_add(&log_->lost, 1);
    syscall(SYS_close, file);
}

void plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 32)
            *text = '?';
}

static int make_room(int file, uint64_t from, uint64_t bytes)
{
    static const char zeros[4096];
    if (!syscall(SYS_fallocate, file, 0, from, bytes))
        return 0;
    if (errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    for (uint64_t at = from; at < from + bytes; at += sizeof zeros)
        if (syscall(SYS_pwrite64, file, zeros, sizeof zeros, at) != (long)sizeof zeros)
            return -1;
    return 0;
}

enum { IN_FIRST = FIRST / sizeof(struct event), IN_PIECE = GROW / sizeof(struct event) };

int grow(int create)
{
    uint64_t piece = create ? 0 : (atomic_load(&limit) - IN_FIRST) / IN_PIECE;
    uint64_t have = create ? 0 : HEAD + FIRST + piece * GROW, more = create ? HEAD + FIRST : GROW;
    int file = (int)syscall(SYS_openat, AT_FDCWD, log_path, O_RDWR | O_CLOEXEC | (create ? O_CREAT | O_EXCL : 0), 0600);
    struct rlimit most;
    char *at = MAP_FAILED;
    if (file < 0)
        return -1;
    if (piece < PIECES && !getrlimit(RLIMIT_FSIZE, &most) && have + more <= most.rlim_cur && !make_room(file, have, more))
        at = (char *)syscall(SYS_mmap, NULL, more, PROT_READ | PROT_WRITE, MAP_SHARED, file, have);
    syscall(SYS_close, file);
    if (at == MAP_FAILED) {
        if (create)
            syscall(SYS_unlinkat, AT_FDCWD, log_path, 0);
        return -1;
    }
    if (create)
        log_ = (struct header *)at;
    else
        pieces[piece] = at, madvise(at, more, MADV_POPULATE_WRITE); /* cheaper than a fault for each page */
    atomic_store(&limit, create ? (uint64_t)IN_FIRST : IN_FIRST + (piece + 1) * IN_PIECE);
    return 0;
}

static struct event *event_at(uint64_t at)
{
    if (at < IN_FIRST)
        return (struct event *)((char *)log_ + HEAD) + at;
    return (struct event *)pieces[(at - IN_FIRST) / IN_PIECE] + (at - IN_FIRST) % IN_PIECE;
}

static struct event *empty_event(void)
{
    uint64_t at = atomic_fetch_add(&log_->count, 1);
    while (at >= atomic_load(&limit)) {
        if (atomic_load(&log_->full)) {
            atomic_fetch_add(&log_->lost, 1);
            return NULL;
        }
        lock_table();
        if (at >= atomic_load(&limit) && grow(0))
            atomic_store(&log_->full, 1);
        unlock_table();
    }
    struct event *event = event_at(at);
    if (!thread_id)
        thread_id = (int)syscall(SYS_gettid);
    event->thread = thread_id;
    event->fd = event->other = -1;
    return event;
}

/* The kind comes last: an event without one is none, whenever the process is killed. */
static struct event *complete(struct event *event, enum kind kind)
{
    atomic_signal_fence(memory_order_release);
    event->kind = (uint16_t)kind;
    return event;
}

struct event *new_event(enum kind kind, uint64_t begin)
{
    struct event *event = empty_event();
    if (!event)
        return NULL;
    event->begin = begin;
    return complete(event, kind);
}

/* A child has a log of its own. */
void leave_log(void)
{
    syscall(SYS_munmap, log_, HEAD + FIRST);
    for (int k = 0; k < PIECES && pieces[k]; k++)
        syscall(SYS_munmap, pieces[k], GROW), pieces[k] = NULL;
    thread_id = 0;
}

struct event *before(enum kind kind, int fd, uint32_t file, void *caller, void *frame)
{
    return before_range(kind, fd, file, 0, 0, 0, caller, frame);
}

struct event *before_range(enum kind kind, int fd, uint32_t file, int64_t start, int64_t length, int flags, void *caller, void *frame)
{
    int error = errno;
    uint32_t stack = stack_of(caller, frame);
    if (kind != READ && kind != WRITE && kind != OPEN)
        boundary(stack);
    int replayed = file < FILES && is_replayed[file];
    if (replayed)
        replay_before(kind);
    struct event *event = empty_event();
    if (!event)
        return NULL;
    if (replayed)
        replay_event(event);
    event->fd = fd, event->file = file, event->stack = stack;
    event->start = start, event->length = length, event->flags = (uint16_t)flags;
    event->begin = now();
    errno = error;
    return complete(event, kind);
}

void after(struct event *event, int64_t result)
{
    if (event) {
        int releases = (event->flags & RELEASED) && event->kind >= POSIX && event->kind <= FLOCKED;
        event->result = result < 0 ? -errno : 0;
        event->end = releases ? event->begin : now(); /* a release counts from before it: one stamp is enough */
        replay_after(event);
    }
}
