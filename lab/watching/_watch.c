/* Record what a program does to shared files. `lab watch` preloads this library into it (ld.so(8), LD_PRELOAD).

   Each process has a log of its own, mapped, so that it survives any end of the process: a header and one event for
   each call, with two stamps of CLOCK_MONOTONIC. The event is in the log before the call is made; a call that never
   returns has no second stamp. What has no fixed size (files, stacks, loaded code) is text, in a file beside the log.

   Nothing that the program sees changes: results and errno are those of the real functions. Where the log cannot grow
   recording ends, and the program goes on. No function here calls malloc but backtrace(3), which is called once before
   anything is recorded. `lab/watching/log.py` reads the logs, and says what each field means. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0), __builtin_frame_address(0)

enum kind {
    NOTHING, START, EXIT, FORK, EXEC, WAITED,
    OPEN, TAKEN, CLOSE, DUP, INHERITED,
    POSIX, OFD, FLOCKED,
    READ, WRITE, TRUNCATE,
    MAP, UNMAP,
    RENAME, UNLINK,
    RECEIVE, SEND,
    ENTER, LEAVE
};

enum { SHARED = 0, EXCLUSIVE = 1, RELEASED = 2, WAITS = 4, APPENDS = 8, ENDS_LINE = 16 };

struct event {
    uint64_t begin, end;
    int64_t start, length;
    uint32_t file, stack;
    int32_t fd, other, result, thread;
    uint16_t kind, flags;
    uint32_t reserved;
};

struct header {
    char magic[8];
    uint32_t version, event_size;
    int32_t pid, parent;
    uint64_t started, forked;
    _Atomic uint64_t count, lost;
    _Atomic uint32_t full;
    uint32_t image;
};

enum { VERSION = 1, HEAD = 4096, FIRST = 1 << 16, GROW = 1 << 20, FDS = 1 << 16, FILES = 1 << 14, STACKS = 1 << 15, DEPTH = 12 };
enum { UNKNOWN = 0, NOT_CHOSEN = UINT32_MAX };
enum { REGULAR = 1, CHANNEL = 2 };
enum { PIECES = 1 << 13 };

struct known { uint64_t device, inode; int64_t born; };

static struct header *log_;
static char *pieces[PIECES]; /* of the log, behind its first part; each stays where it is mapped */
static _Atomic uint64_t limit;       /* events that the log has room for */
static char folder[512], log_path[600], text_path[600];
static const char *globs, *outputs;
static struct known files[FILES];
static unsigned char file_type[FILES];
static uint32_t file_count;
static _Atomic uint32_t fd_file[FDS];
static unsigned char fd_appends[FDS];
static uint64_t stack_hash[STACKS];
static uint32_t stack_count;
static uint64_t forked_at;
static atomic_flag table = ATOMIC_FLAG_INIT;
static int uses_python;

static __thread int inside __attribute__((tls_model("initial-exec")));
static __thread int thread_id __attribute__((tls_model("initial-exec")));
static __thread uintptr_t stack_low, stack_end __attribute__((tls_model("initial-exec")));

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static void lock_table(void) { while (atomic_flag_test_and_set_explicit(&table, memory_order_acquire)) sched_yield(); }
static void unlock_table(void) { atomic_flag_clear_explicit(&table, memory_order_release); }

/* Text beside the log: opened anew each time, since programs close descriptors that they do not know. */
static void write_text(const char *text, size_t length)
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

static void plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 32)
            *text = '?';
}

/* -- The log ------------------------------------------------------------------------------------------------- */

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

static int grow(int create)
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
        pieces[piece] = at;
    atomic_store(&limit, create ? (uint64_t)IN_FIRST : IN_FIRST + (piece + 1) * IN_PIECE);
    return 0;
}

static struct event *event_at(uint64_t at)
{
    if (at < IN_FIRST)
        return (struct event *)((char *)log_ + HEAD) + at;
    return (struct event *)pieces[(at - IN_FIRST) / IN_PIECE] + (at - IN_FIRST) % IN_PIECE;
}

static struct event *new_event(enum kind kind, uint64_t begin)
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
    event->begin = begin;
    event->thread = thread_id;
    event->fd = event->other = -1;
    atomic_signal_fence(memory_order_release);
    event->kind = (uint16_t)kind;
    return event;
}

static int recording(void) { return log_ && !inside; }

/* -- Files --------------------------------------------------------------------------------------------------- */

static int is_chosen(const char *path)
{
    static const char *const elsewhere[] = {"/usr/", "/lib", "/bin/", "/sbin/", "/etc/", "/proc/", "/sys/", "/dev/", "/opt/", "/snap/"};
    size_t length = strlen(path), mine = strlen(folder);
    if (!strncmp(path, folder, mine) && path[mine] == '/')
        return 0;
    if (globs && *globs) {
        static char glob[1024]; /* the caller has the table */
        for (const char *at = globs; *at;) {
            size_t size = strcspn(at, "\n");
            if (size < sizeof glob) {
                memcpy(glob, at, size);
                glob[size] = 0;
                const char *name = strrchr(path, '/');
                if (!fnmatch(glob, path, 0) || (!strchr(glob, '/') && name && !fnmatch(glob, name + 1, 0)))
                    return 1;
            }
            at += size + (at[size] == '\n');
        }
        return 0;
    }
    if (!strncmp(path, "/dev/shm/", 9))
        return 1;
    for (size_t k = 0; k < sizeof elsewhere / sizeof *elsewhere; k++)
        if (!strncmp(path, elsewhere[k], strlen(elsewhere[k])))
            return 0;
    return !(length > 4 && !strcmp(path + length - 4, ".pyc")) && !strstr(path, "/__pycache__/") && !strstr(path, "/site-packages/");
}

static uint32_t file_of(const struct statx *about, const char *path, int type)
{
    struct known this = {((uint64_t)about->stx_dev_major << 32) | about->stx_dev_minor, about->stx_ino, 0};
    if (about->stx_mask & STATX_BTIME)
        this.born = about->stx_btime.tv_sec * 1000000000 + about->stx_btime.tv_nsec;
    uint32_t found = NOT_CHOSEN; /* the caller has the table */
    for (uint32_t k = file_count; k; k--)
        if (files[k].inode == this.inode && files[k].device == this.device && files[k].born == this.born) {
            found = k;
            break;
        }
    if (found == NOT_CHOSEN && file_count + 1 < FILES) {
        found = ++file_count;
        files[found] = this;
        file_type[found] = (unsigned char)type;
        static char line[4400]; /* the stacks of programs may be small */
        int length = snprintf(line, sizeof line, "file %u %llu %llu %lld %d %.4000s", found, (unsigned long long)this.device,
                              (unsigned long long)this.inode, (long long)this.born, type, path);
        plain(line);
        line[length++] = '\n';
        write_text(line, (size_t)length);
    }
    return found;
}

static int about(int at, const char *path, int flags, struct statx *found)
{
    return (int)syscall(SYS_statx, at, path, flags, STATX_BASIC_STATS | STATX_BTIME, found);
}

/* Where the output of the whole run goes is nobody's shared file: LAB_WATCH_OUTPUT has such files, each as
   major:minor:inode and a comma. */
static int is_output(const struct statx *found)
{
    char this[64];
    snprintf(this, sizeof this, "%u:%u:%llu,", found->stx_dev_major, found->stx_dev_minor, (unsigned long long)found->stx_ino);
    return outputs && strstr(outputs, this) != NULL;
}

static uint32_t look_at(int fd)
{
    struct statx found;
    char link[64];
    if (about(fd, "", AT_EMPTY_PATH, &found))
        return NOT_CHOSEN;
    int type = S_ISREG(found.stx_mode) ? REGULAR : S_ISFIFO(found.stx_mode) ? CHANNEL : 0;
    if (!type || is_output(&found))
        return NOT_CHOSEN;
    static char path[4096]; /* the stacks of programs may be small */
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    lock_table();
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    uint32_t file = type == REGULAR && !is_chosen(path) ? NOT_CHOSEN : file_of(&found, path, type);
    unlock_table();
    return file;
}

static uint32_t file_at(int fd)
{
    if (fd < 0 || fd >= FDS)
        return fd < 0 ? NOT_CHOSEN : look_at(fd);
    uint32_t file = atomic_load_explicit(&fd_file[fd], memory_order_relaxed);
    if (file == UNKNOWN) {
        file = look_at(fd);
        if (file != NOT_CHOSEN)
            fd_appends[fd] = (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) != 0;
        atomic_store_explicit(&fd_file[fd], file, memory_order_relaxed);
    }
    return file;
}

static void forget_fd(int fd) { if (fd >= 0 && fd < FDS) atomic_store_explicit(&fd_file[fd], UNKNOWN, memory_order_relaxed); }

static char whole[4200]; /* the caller has the table */

static void make_whole(int at, const char *path)
{
    if (path[0] == '/' || at != AT_FDCWD || syscall(SYS_getcwd, whole, 4000) <= 0)
        snprintf(whole, sizeof whole, "%.4000s", path);
    else
        snprintf(whole + strlen(whole), sizeof whole - strlen(whole), "/%.190s", path);
}

static uint32_t file_named(int at, const char *path, int follow)
{
    struct statx found;
    if (!path || about(at, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, &found) || !S_ISREG(found.stx_mode))
        return NOT_CHOSEN;
    lock_table();
    make_whole(at, path);
    uint32_t file = is_chosen(whole) ? file_of(&found, whole, REGULAR) : NOT_CHOSEN;
    unlock_table();
    return file;
}

/* -- Stacks -------------------------------------------------------------------------------------------------- */

static uint32_t intern(uint64_t hash, int *is_new)
{
    uint32_t at = (uint32_t)(hash % STACKS);
    for (uint32_t k = 0; k < 64; k++, at = (at + 1) % STACKS) {
        if (stack_hash[at] == hash)
            return *is_new = 0, at + 1;
        if (!stack_hash[at] && stack_count < STACKS / 2) {
            stack_hash[at] = hash;
            stack_count++;
            return *is_new = 1, at + 1;
        }
    }
    return *is_new = 0;
}

static uint64_t mixed(uint64_t hash, uint64_t value) { return ((hash ^ value) * 0x9e3779b97f4a7c15u) ^ (hash >> 29); }

static void write_maps(void)
{
    static char maps[1 << 16];
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    write_text("maps\n", 5);
    for (long count; (count = syscall(SYS_read, file, maps, sizeof maps)) > 0;)
        write_text(maps, (size_t)count);
    write_text("end\n", 4);
    syscall(SYS_close, file);
}

static uintptr_t code[256][2];
static int code_count;

static int add_code(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size, (void)data;
    for (int k = 0; k < info->dlpi_phnum; k++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[k];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X && code_count < 256) {
            code[code_count][0] = info->dlpi_addr + part->p_vaddr;
            code[code_count++][1] = info->dlpi_addr + part->p_vaddr + part->p_memsz;
        }
    }
    return 0;
}

static int is_known_code(uintptr_t address)
{
    for (int k = 0; k < code_count; k++)
        if (code[k][0] <= address && address < code[k][1])
            return 1;
    return 0;
}

static uint32_t write_stack(void *const *frames, int count)
{
    uint64_t hash = 1;
    int is_new, known = 1;
    for (int k = 0; k < count; k++)
        hash = mixed(hash, (uint64_t)frames[k]), known &= is_known_code((uintptr_t)frames[k]);
    lock_table();
    uint32_t id = intern(hash | 1, &is_new);
    if (is_new) {
        if (!known) {
            code_count = 0;
            dl_iterate_phdr(add_code, NULL);
            write_maps();
        }
        static char line[40 + 20 * DEPTH];
        int length = snprintf(line, sizeof line, "stack %u", id);
        for (int k = 0; k < count; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, " %lx", (unsigned long)frames[k]);
        line[length++] = '\n';
        write_text(line, (size_t)length);
    }
    unlock_table();
    return id;
}

/* Where Python runs, its frames say more than those of the interpreter. It writes those of this thread itself, as it does
   for faulthandler: without the GIL, which must not be waited for here, and without allocating anything. */
static int (*Py_IsInitialized)(void);
static void *(*PyGILState_GetThisThreadState)(void);
static void (*_Py_DumpTraceback)(int, void *);

static void find_python(void)
{
    struct { const char *name; void *at; } wanted[] = {
        {"Py_IsInitialized", &Py_IsInitialized},
        {"PyGILState_GetThisThreadState", &PyGILState_GetThisThreadState},
        {"_Py_DumpTraceback", &_Py_DumpTraceback},
    };
    uses_python = 1;
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++) {
        void *found = dlsym(RTLD_DEFAULT, wanted[k].name);
        uses_python &= found != NULL;
        memcpy(wanted[k].at, &found, sizeof found);
    }
}

/* From lines such as `  File "a.py", line 3 in work`: the file, the line and the function of each, behind tabs. */
static int python_frames(char *text, char *line, int size)
{
    int length = 0, depth = 0;
    for (char *at = strstr(text, "  File \""); at && depth < DEPTH; at = strstr(at, "\n  File \""), depth++) {
        at = strchr(at, '"') + 1;
        char *end = strstr(at, "\", line "), *in = end ? strstr(end, " in ") : NULL, *last = in ? strchr(in, '\n') : NULL;
        if (!last || length + 1300 > size)
            break;
        int path = (int)(end - at) > 400 ? 400 : (int)(end - at), name = (int)(last - in - 4) > 400 ? 400 : (int)(last - in - 4);
        length += snprintf(line + length, (size_t)(size - length), "\t%.*s\t%d\t%.*s", path, at, atoi(end + 8), name, in + 4);
        at = last;
    }
    return length;
}

static uint32_t python_stack(void *thread)
{
    static char text[8192], line[12000]; /* below: with the table */
    int is_new, head, file = (int)syscall(SYS_memfd_create, "lab", 1u);
    if (file < 0)
        return 0;
    _Py_DumpTraceback(file, thread);
    lock_table();
    long count = syscall(SYS_pread64, file, text, sizeof text - 1, 0);
    syscall(SYS_close, file);
    text[count > 0 ? count : 0] = 0;
    head = 32;
    int length = python_frames(text, line + head, (int)sizeof line - head - 1);
    uint64_t hash = 3;
    for (int k = 0; k < length; k++)
        hash = mixed(hash, (uint64_t)line[head + k]);
    uint32_t id = length ? intern(hash | 1, &is_new) : 0;
    if (id && is_new) {
        char word[32];
        int size = snprintf(word, sizeof word, "python %u", id);
        memcpy(line + head - size, word, (size_t)size);
        line[head + length] = '\n';
        write_text(line + head - size, (size_t)(size + length + 1));
    }
    unlock_table();
    return id;
}

/* The unwinder takes 1 us a call. A stack seen before is recognised by its return addresses, in their places. */
struct cached { void *caller, *frame; uint32_t id, count; uintptr_t *place[DEPTH]; uintptr_t value[DEPTH]; };
static __thread struct cached cache[32] __attribute__((tls_model("initial-exec")));

static uintptr_t end_of_stack(void)
{
    pthread_attr_t its;
    void *low = NULL;
    size_t size = 0;
    if (!pthread_getattr_np(pthread_self(), &its)) {
        pthread_attr_getstack(&its, &low, &size);
        pthread_attr_destroy(&its);
    }
    stack_low = (uintptr_t)low;
    return (uintptr_t)low + size;
}

static uint32_t native_stack(void *caller, void *frame)
{
    struct cached *at = &cache[(((uintptr_t)caller >> 2) ^ ((uintptr_t)frame >> 4)) % 32];
    if (at->caller == caller && at->frame == frame) {
        uint32_t k = 0;
        while (k < at->count && *at->place[k] == at->value[k])
            k++;
        if (k == at->count)
            return at->id;
    }
    void *frames[DEPTH + 8];
    int count = backtrace(frames, DEPTH + 8), first = 0;
    while (first < count && frames[first] != caller)
        first++;
    if (first == count)
        frames[0] = caller, first = 0, count = 1;
    count = count - first > DEPTH ? DEPTH : count - first;
    if (!stack_end)
        stack_end = end_of_stack();
    at->caller = caller;
    at->frame = frame;
    at->count = 0;
    uintptr_t *place = frame;
    if ((uintptr_t)frame < stack_low || (uintptr_t)frame >= stack_end) { /* a signal handler on a stack of its own */
        at->caller = NULL;
        return write_stack(frames + first, count);
    }
    for (int k = 1; k < count; k++) {
        while ((uintptr_t)(place + 1) < stack_end && *place != (uintptr_t)frames[first + k])
            place++;
        if ((uintptr_t)(place + 1) >= stack_end)
            break;
        at->place[at->count] = place;
        at->value[at->count++] = (uintptr_t)frames[first + k];
    }
    return at->id = write_stack(frames + first, count);
}

static uint32_t stack_of(void *caller, void *frame)
{
    void *thread = uses_python && Py_IsInitialized() ? PyGILState_GetThisThreadState() : NULL;
    uint32_t id = thread ? python_stack(thread) : 0;
    if (id)
        return id;
    return native_stack(caller, frame);
}

/* -- The life of a process ----------------------------------------------------------------------------------- */

static void open_log(void)
{
    uint64_t started = now();
    pid_t pid = getpid();
    int size = snprintf(log_path, sizeof log_path, "%.500s/%d-%llu.log", folder, pid, (unsigned long long)started);
    memcpy(text_path, log_path, sizeof text_path);
    memcpy(text_path + size - 3, "txt", 4);
    log_ = NULL;
    if (grow(1))
        return;
    memcpy(log_->magic, "LABWATCH", 8);
    log_->version = VERSION;
    log_->event_size = sizeof(struct event);
    log_->pid = pid;
    log_->parent = getppid();
    log_->started = started;
    log_->forked = forked_at;
}

static void write_program(void)
{
    static char line[8300] = "program ";
    long length = syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", line + 8, 4000);
    length = length < 0 ? 8 : length + 8;
    line[length++] = '\t';
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/cmdline", O_RDONLY | O_CLOEXEC);
    long more = file < 0 ? 0 : syscall(SYS_read, file, line + length, 4000);
    if (file >= 0)
        syscall(SYS_close, file);
    for (long k = length; k < length + more; k++)
        if ((unsigned char)line[k] < 32)
            line[k] = line[k] ? '?' : '\x1f';
    length += more > 0 ? more : 0;
    line[length++] = '\n';
    write_text(line, (size_t)length);
}

static void start(void)
{
    struct rlimit most;
    int last = getrlimit(RLIMIT_NOFILE, &most) || most.rlim_cur > 1024 ? 1024 : (int)most.rlim_cur;
    struct event *event = new_event(START, now());
    if (event)
        event->other = log_->parent, event->end = now();
    for (int fd = 0; fd < last; fd++) {
        uint32_t file = file_at(fd);
        if (file == NOT_CHOSEN) {
            forget_fd(fd);
            continue;
        }
        event = new_event(INHERITED, now());
        if (event)
            event->fd = fd, event->file = file, event->end = now();
    }
}

static void before_fork(void) { inside++; forked_at = now(); lock_table(); }
static void in_parent(void) { unlock_table(); inside--; }

static void in_child(void)
{
    unlock_table();
    inside--;
    if (!log_)
        return;
    inside++;
    syscall(SYS_munmap, log_, HEAD + FIRST);
    for (int k = 0; k < PIECES && pieces[k]; k++)
        syscall(SYS_munmap, pieces[k], GROW), pieces[k] = NULL;
    thread_id = 0;
    memset(stack_hash, 0, sizeof stack_hash);
    stack_count = 0;
    memset(cache, 0, sizeof cache);
    open_log();
    if (log_) {
        write_program();
        write_maps();
        for (uint32_t k = 1; k <= file_count; k++) {
            char line[200];
            write_text(line, (size_t)snprintf(line, sizeof line, "same %u %llu %llu %lld %d\n", k, (unsigned long long)files[k].device,
                       (unsigned long long)files[k].inode, (long long)files[k].born, file_type[k]));
        }
        struct event *event = new_event(FORK, forked_at);
        if (event)
            event->other = log_->parent, event->end = now();
    }
    inside--;
}

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("LAB_WATCH_DIR");
    void *frames[4];
    if (!where || !*where || strlen(where) >= sizeof folder)
        return;
    inside++;
    strcpy(folder, where);
    globs = getenv("LAB_WATCH_FILES");
    outputs = getenv("LAB_WATCH_OUTPUT");
    find_python();
    backtrace(frames, 4);
    dl_iterate_phdr(add_code, NULL);
    open_log();
    if (log_) {
        write_program();
        write_maps();
        start();
        pthread_atfork(before_fork, in_parent, in_child);
    }
    inside--;
}

static void exits(void)
{
    if (!recording())
        return;
    inside++;
    struct event *event = new_event(EXIT, now());
    if (event)
        event->end = now();
    inside--;
}

__attribute__((destructor)) static void finish(void) { exits(); }

/* -- Wrappers ------------------------------------------------------------------------------------------------ */

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) { void *found = dlsym(RTLD_NEXT, #name); memcpy(&real, &found, sizeof real); }

static struct event *before(enum kind kind, int fd, uint32_t file, void *caller, void *frame)
{
    uint32_t stack = stack_of(caller, frame);
    struct event *event = new_event(kind, now());
    if (event)
        event->fd = fd, event->file = file, event->stack = stack;
    return event;
}

static void after(struct event *event, int64_t result)
{
    if (event) {
        event->result = result < 0 ? -errno : 0;
        event->end = now();
    }
}

/* Files are opened. */

static int opened(int fd, int flags, uint64_t begun, const char *path, int at, void *caller, void *frame)
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
    { REAL(int, name, const char *, int, ...) MODE(flags, flags) uint64_t begun = now(); return opened(real(path, flags, mode), flags, begun, path, AT_FDCWD, CALLER); }
#define OPENS_AT(name) \
    PUBLIC int name(int at, const char *path, int flags, ...) \
    { REAL(int, name, int, const char *, int, ...) MODE(flags, flags) uint64_t begun = now(); return opened(real(at, path, flags, mode), flags, begun, path, at, CALLER); }
OPENS(open) OPENS(open64) OPENS_AT(openat) OPENS_AT(openat64)

PUBLIC int __open_2(const char *path, int flags) { REAL(int, __open_2, const char *, int) uint64_t begun = now(); return opened(real(path, flags), flags, begun, path, AT_FDCWD, CALLER); }
PUBLIC int __open64_2(const char *path, int flags) { REAL(int, __open64_2, const char *, int) uint64_t begun = now(); return opened(real(path, flags), flags, begun, path, AT_FDCWD, CALLER); }
PUBLIC int creat(const char *path, mode_t mode) { REAL(int, creat, const char *, mode_t) uint64_t begun = now(); return opened(real(path, mode), O_CREAT | O_WRONLY | O_TRUNC, begun, path, AT_FDCWD, CALLER); }
PUBLIC int creat64(const char *path, mode_t mode) { REAL(int, creat64, const char *, mode_t) uint64_t begun = now(); return opened(real(path, mode), O_CREAT | O_WRONLY | O_TRUNC, begun, path, AT_FDCWD, CALLER); }

static int flags_of(const char *mode)
{
    int plus = strchr(mode, '+') != NULL;
    return (*mode == 'r' ? 0 : *mode == 'w' ? O_CREAT | O_TRUNC : O_CREAT | O_APPEND) | (strchr(mode, 'x') ? O_EXCL : 0) | (plus ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY);
}

static struct event *closing(int fd, void *caller, void *frame);

static FILE *opened_stream(FILE *stream, const char *path, const char *mode, uint64_t begun, void *caller, void *frame)
{
    opened(stream ? fileno(stream) : -1, flags_of(mode), begun, path, AT_FDCWD, caller, frame);
    return stream;
}

PUBLIC FILE *fopen(const char *path, const char *mode) { REAL(FILE *, fopen, const char *, const char *) uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }
PUBLIC FILE *fopen64(const char *path, const char *mode) { REAL(FILE *, fopen64, const char *, const char *) uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }

static FILE *reopened(FILE *(*real)(const char *, const char *, FILE *), const char *path, const char *mode, FILE *stream, void *caller, void *frame)
{
    uint64_t begun = now();
    if (recording()) {
        inside++;
        after(closing(fileno(stream), caller, frame), 0);
        inside--;
    }
    FILE *opened_ = real(path, mode, stream);
    return path ? opened_stream(opened_, path, mode, begun, caller, frame) : opened_;
}

PUBLIC FILE *freopen(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen, const char *, const char *, FILE *) return reopened(real, path, mode, stream, CALLER); }
PUBLIC FILE *freopen64(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen64, const char *, const char *, FILE *) return reopened(real, path, mode, stream, CALLER); }

/* Descriptors are closed and copied. */

static struct event *closing(int fd, void *caller, void *frame)
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

static void range_of(int fd, const struct flock *lock, struct event *event)
{
    int64_t start = lock->l_start, length = lock->l_len;
    struct stat found;
    if (lock->l_whence == SEEK_CUR)
        start += syscall(SYS_lseek, fd, 0, SEEK_CUR);
    else if (lock->l_whence == SEEK_END && !fstat(fd, &found))
        start += found.st_size;
    if (length < 0)
        start += length, length = -length;
    event->start = start;
    event->length = length;
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
    if (!(locks || ofd) || !recording() || !value)
        return real(fd, command, value);
    inside++;
    uint32_t file = file_at(fd);
    const struct flock *lock = value;
    struct event *event = file == NOT_CHOSEN ? NULL : before(ofd ? OFD : POSIX, fd, file, caller, frame);
    if (event) {
        range_of(fd, lock, event);
        event->flags = (uint16_t)(mode_of(lock->l_type) | (command == F_SETLKW || command == F_OFD_SETLKW ? WAITS : 0));
        event->begin = now();
    }
    int result = real(fd, command, value), error = errno;
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
    struct event *event = file == NOT_CHOSEN ? NULL : before(FLOCKED, fd, file, CALLER);
    if (event)
        event->flags = (uint16_t)(mode_of_flock(operation & ~LOCK_NB) | (operation & LOCK_NB ? 0 : WAITS)), event->begin = now();
    int result = real(fd, operation), error = errno;
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
    struct event *event = file == NOT_CHOSEN ? NULL : before(POSIX, fd, file, caller, frame);
    if (event) {
        struct flock lock = {.l_whence = SEEK_CUR, .l_len = length};
        range_of(fd, &lock, event);
        event->flags = (uint16_t)((command == F_ULOCK ? RELEASED : EXCLUSIVE) | (command == F_LOCK ? WAITS : 0));
        event->begin = now();
    }
    int result = real(fd, command, length), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

PUBLIC int lockf(int fd, int command, off_t length) { REAL(int, lockf, int, int, off_t) return lockf_any(real, fd, command, length, CALLER); }
PUBLIC int lockf64(int fd, int command, off64_t length) { REAL(int, lockf64, int, int, off64_t) return lockf_any(real, fd, command, length, CALLER); }

/* Data: by calls with a position, by calls at the descriptor's own, and by streams. */

static struct event *data(enum kind kind, int fd, void *caller, void *frame)
{
    uint32_t file = file_at(fd);
    if (file == NOT_CHOSEN)
        return NULL;
    if (file_type[file] == CHANNEL) {
        struct event *event = new_event(kind == READ ? RECEIVE : SEND, now());
        if (event)
            event->fd = fd, event->file = file;
        return event;
    }
    return before(kind, fd, file, caller, frame);
}

static void moved(struct event *event, int64_t at, int64_t count)
{
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

#define DATA(kind, position, call) \
    if (!recording()) return call; \
    inside++; \
    struct event *event = data(kind, fd, CALLER); \
    ssize_t count = call; \
    int error = errno; \
    moved(event, position, count); \
    inside--; \
    errno = error; \
    return count;

PUBLIC ssize_t read(int fd, void *to, size_t size) { REAL(ssize_t, read, int, void *, size_t) DATA(READ, -1, real(fd, to, size)) }
PUBLIC ssize_t write(int fd, const void *from, size_t size)
{
    REAL(ssize_t, write, int, const void *, size_t)
    if (!recording())
        return real(fd, from, size);
    inside++;
    struct event *event = data(WRITE, fd, CALLER);
    ssize_t count = real(fd, from, size);
    int error = errno;
    if (event && count > 0 && ((const char *)from)[count - 1] == '\n')
        event->flags |= ENDS_LINE;
    moved(event, -1, count);
    inside--;
    errno = error;
    return count;
}
PUBLIC ssize_t pread(int fd, void *to, size_t size, off_t at) { REAL(ssize_t, pread, int, void *, size_t, off_t) DATA(READ, at, real(fd, to, size, at)) }
PUBLIC ssize_t pread64(int fd, void *to, size_t size, off64_t at) { REAL(ssize_t, pread64, int, void *, size_t, off64_t) DATA(READ, at, real(fd, to, size, at)) }
PUBLIC ssize_t pwrite(int fd, const void *from, size_t size, off_t at) { REAL(ssize_t, pwrite, int, const void *, size_t, off_t) DATA(WRITE, at, real(fd, from, size, at)) }
PUBLIC ssize_t pwrite64(int fd, const void *from, size_t size, off64_t at) { REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t) DATA(WRITE, at, real(fd, from, size, at)) }
PUBLIC ssize_t __read_chk(int fd, void *to, size_t size, size_t most) { REAL(ssize_t, __read_chk, int, void *, size_t, size_t) DATA(READ, -1, real(fd, to, size, most)) }
PUBLIC ssize_t __pread_chk(int fd, void *to, size_t size, off_t at, size_t most) { REAL(ssize_t, __pread_chk, int, void *, size_t, off_t, size_t) DATA(READ, at, real(fd, to, size, at, most)) }
PUBLIC ssize_t __pread64_chk(int fd, void *to, size_t size, off64_t at, size_t most) { REAL(ssize_t, __pread64_chk, int, void *, size_t, off64_t, size_t) DATA(READ, at, real(fd, to, size, at, most)) }
PUBLIC ssize_t readv(int fd, const struct iovec *to, int count_) { REAL(ssize_t, readv, int, const struct iovec *, int) DATA(READ, -1, real(fd, to, count_)) }
PUBLIC ssize_t writev(int fd, const struct iovec *from, int count_)
{
    REAL(ssize_t, writev, int, const struct iovec *, int)
    if (!recording())
        return real(fd, from, count_);
    inside++;
    struct event *event = data(WRITE, fd, CALLER);
    ssize_t count = real(fd, from, count_);
    int error = errno;
    const struct iovec *last = count_ > 0 ? &from[count_ - 1] : NULL;
    if (event && count > 0 && last && last->iov_len && ((const char *)last->iov_base)[last->iov_len - 1] == '\n')
        event->flags |= ENDS_LINE;
    moved(event, -1, count);
    inside--;
    errno = error;
    return count;
}
#define VECTORS(name, kind) PUBLIC ssize_t name(int fd, const struct iovec *parts, int count_, off_t at) { REAL(ssize_t, name, int, const struct iovec *, int, off_t) DATA(kind, at, real(fd, parts, count_, at)) }
VECTORS(preadv, READ) VECTORS(preadv64, READ) VECTORS(pwritev, WRITE) VECTORS(pwritev64, WRITE)
#define VECTORS_2(name, kind) PUBLIC ssize_t name(int fd, const struct iovec *parts, int count_, off_t at, int flags) { REAL(ssize_t, name, int, const struct iovec *, int, off_t, int) DATA(kind, at, real(fd, parts, count_, at, flags)) }
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
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before(TRUNCATE, fd, file, caller, frame);
    if (event)
        event->start = size, event->begin = now();
    int result = by_fd ? by_fd(fd, size) : by_path(path, size), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

#define TRUNCATES(name) \
    PUBLIC int f##name(int fd, off_t size) { REAL(int, f##name, int, off_t) if (!recording()) return real(fd, size); inside++; return truncated(file_at(fd), fd, size, real, NULL, NULL, CALLER); } \
    PUBLIC int name(const char *path, off_t size) { REAL(int, name, const char *, off_t) if (!recording()) return real(path, size); inside++; return truncated(file_named(AT_FDCWD, path, 1), -1, size, NULL, real, path, CALLER); }
TRUNCATES(truncate) TRUNCATES(truncate64)

/* A stream moves its descriptor when it really reads or writes, and only then. */
struct streamed { int fd; uint32_t file; int64_t at; uint64_t begun; int ends_line; };

static int ends_line(FILE *stream) { return __fpending(stream) && stream->_IO_write_ptr[-1] == '\n'; }

static struct streamed stream_before(FILE *stream)
{
    struct streamed its = {stream ? fileno(stream) : -1, NOT_CHOSEN, 0, 0, 0};
    its.file = file_at(its.fd);
    if (its.file != NOT_CHOSEN && file_type[its.file] != REGULAR)
        its.file = NOT_CHOSEN;
    if (its.file != NOT_CHOSEN)
        its.at = syscall(SYS_lseek, its.fd, 0, SEEK_CUR), its.begun = now(), its.ends_line = ends_line(stream);
    return its;
}

static void stream_after(struct streamed its, FILE *stream, void *caller, void *frame)
{
    if (its.file == NOT_CHOSEN)
        return;
    int writes = __fwriting(stream);
    int64_t at = syscall(SYS_lseek, its.fd, 0, SEEK_CUR);
    if (at <= its.at)
        return;
    struct event *event = before(writes ? WRITE : READ, its.fd, its.file, caller, frame);
    if (!event)
        return;
    event->begin = its.begun;
    event->start = its.at;
    event->length = at - its.at;
    event->flags = (uint16_t)(writes && its.fd < FDS && fd_appends[its.fd] ? APPENDS : 0);
    if (its.ends_line && !__fpending(stream))
        event->flags |= ENDS_LINE;
    after(event, 0);
}

#define STREAM(type, call) \
    if (!recording()) return call; \
    inside++; \
    int before_ = errno; \
    struct streamed its = stream_before(stream); \
    errno = before_; \
    type result = call; \
    int error = errno; \
    stream_after(its, stream, CALLER); \
    inside--; \
    errno = error; \
    return result;

PUBLIC size_t fread(void *to, size_t size, size_t count, FILE *stream) { REAL(size_t, fread, void *, size_t, size_t, FILE *) STREAM(size_t, real(to, size, count, stream)) }
PUBLIC size_t fwrite(const void *from, size_t size, size_t count, FILE *stream) { REAL(size_t, fwrite, const void *, size_t, size_t, FILE *) STREAM(size_t, real(from, size, count, stream)) }
PUBLIC char *fgets(char *to, int size, FILE *stream) { REAL(char *, fgets, char *, int, FILE *) STREAM(char *, real(to, size, stream)) }
PUBLIC int fputs(const char *from, FILE *stream) { REAL(int, fputs, const char *, FILE *) STREAM(int, real(from, stream)) }
PUBLIC ssize_t getline(char **line, size_t *size, FILE *stream) { REAL(ssize_t, getline, char **, size_t *, FILE *) STREAM(ssize_t, real(line, size, stream)) }
PUBLIC ssize_t getdelim(char **line, size_t *size, int end, FILE *stream) { REAL(ssize_t, getdelim, char **, size_t *, int, FILE *) STREAM(ssize_t, real(line, size, end, stream)) }
PUBLIC ssize_t __getdelim(char **line, size_t *size, int end, FILE *stream) { REAL(ssize_t, __getdelim, char **, size_t *, int, FILE *) STREAM(ssize_t, real(line, size, end, stream)) }
#define CHARACTERS(name) PUBLIC int name(FILE *stream) { REAL(int, name, FILE *) STREAM(int, real(stream)) }
CHARACTERS(fgetc) CHARACTERS(getc) CHARACTERS(_IO_getc) CHARACTERS(fflush)
#undef CHARACTERS
#define CHARACTERS(name) PUBLIC int name(int character, FILE *stream) { REAL(int, name, int, FILE *) STREAM(int, real(character, stream)) }
CHARACTERS(fputc) CHARACTERS(putc) CHARACTERS(_IO_putc)
#define SEEKS(name, type) PUBLIC int name(FILE *stream, type to, int from) { REAL(int, name, FILE *, type, int) if (recording() && __fpending(stream)) { STREAM(int, real(stream, to, from)) } return real(stream, to, from); }
SEEKS(fseek, long) SEEKS(fseeko, off_t) SEEKS(fseeko64, off64_t)

static int formatted(int (*call)(FILE *, const char *, va_list), FILE *stream, const char *form, va_list values, void *caller, void *frame)
{
    if (!recording())
        return call(stream, form, values);
    inside++;
    int kept = errno;
    struct streamed its = stream_before(stream);
    errno = kept;
    int result = call(stream, form, values), error = errno;
    stream_after(its, stream, caller, frame);
    inside--;
    errno = error;
    return result;
}

#define FORMATS(name, call) \
    PUBLIC int name(FILE *stream, const char *form, ...) \
    { va_list values; va_start(values, form); int result = formatted(call, stream, form, values, CALLER); va_end(values); return result; }
/* The headers rename fscanf to the one that follows C99, and now C23; an older program's reads other formats. */
FORMATS(fscanf, vfscanf) FORMATS(__isoc23_fscanf, vfscanf) FORMATS(fprintf, vfprintf)

PUBLIC int __fprintf_chk(FILE *stream, int flag, const char *form, ...)
{
    (void)flag;
    va_list values;
    va_start(values, form);
    int result = formatted(vfprintf, stream, form, values, CALLER);
    va_end(values);
    return result;
}

PUBLIC int fclose(FILE *stream)
{
    REAL(int, fclose, FILE *)
    if (!recording() || !stream)
        return real(stream);
    inside++;
    int kept = errno, fd = fileno(stream);
    uint32_t file = file_at(fd);
    struct event *written = NULL, *closed = NULL;
    if (fd >= 0 && file != NOT_CHOSEN && file_type[file] == REGULAR) {
        int64_t pending = (int64_t)__fpending(stream);
        if (pending) {
            written = before(WRITE, fd, file, CALLER);
            if (written) {
                written->start = ftello(stream) - pending;
                written->length = pending;
                written->flags = (uint16_t)((fd < FDS && fd_appends[fd] ? APPENDS : 0) | (ends_line(stream) ? ENDS_LINE : 0));
            }
        }
        closed = closing(fd, CALLER);
    }
    forget_fd(fd);
    errno = kept;
    int result = real(stream), error = errno;
    if (written)
        written->end = closed ? closed->begin : now();
    after(closed, 0);
    inside--;
    errno = error;
    return result;
}

/* Mappings. */

static struct { char *at; size_t size; uint32_t file; int64_t offset; } maps_[1024];

static void remember_map(char *at, size_t size, uint32_t file, int64_t offset)
{
    lock_table();
    for (int k = 0; k < 1024; k++)
        if (!maps_[k].at) {
            maps_[k].size = size, maps_[k].file = file, maps_[k].offset = offset, maps_[k].at = at;
            break;
        }
    unlock_table();
}

PUBLIC int munmap(void *at, size_t size)
{
    REAL(int, munmap, void *, size_t)
    if (recording())
        for (int k = 0; k < 1024; k++)
            if (maps_[k].at && maps_[k].at >= (char *)at && maps_[k].at < (char *)at + size) {
                inside++;
                struct event *event = before(UNMAP, -1, maps_[k].file, CALLER);
                if (event)
                    event->start = maps_[k].offset, event->length = (int64_t)maps_[k].size, event->end = now();
                maps_[k].at = NULL;
                inside--;
            }
    return real(at, size);
}

static void *mapped(void *(*real)(void *, size_t, int, int, int, off_t), void *at, size_t size, int protection, int flags, int fd, off_t offset, void *caller, void *frame)
{
    if (!recording() || flags & MAP_ANONYMOUS || fd < 0)
        return real(at, size, protection, flags, fd, offset);
    inside++;
    uint32_t file = file_at(fd);
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before(MAP, fd, file, caller, frame);
    if (event) {
        event->start = offset;
        event->length = (int64_t)size;
        event->flags = protection & PROT_WRITE ? EXCLUSIVE : SHARED;
        event->other = flags;
    }
    void *result = real(at, size, protection, flags, fd, offset);
    int error = errno;
    if (event && result != MAP_FAILED && flags & MAP_SHARED)
        remember_map(result, size, file, offset);
    after(event, result == MAP_FAILED ? -1 : 0);
    inside--;
    errno = error;
    return result;
}

PUBLIC void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) { REAL(void *, mmap, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }
PUBLIC void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) { REAL(void *, mmap64, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }

/* Names. */

static int renamed(int from_at, const char *from, int to_at, const char *to, unsigned flags, void *caller, void *frame)
{
    uint32_t moved_ = file_named(from_at, from, 0), replaced = file_named(to_at, to, 0);
    uint32_t file = moved_ != NOT_CHOSEN ? moved_ : replaced;
    struct event *event = file == NOT_CHOSEN ? NULL : before(RENAME, -1, file, caller, frame);
    if (event)
        event->start = replaced == NOT_CHOSEN ? 0 : replaced, event->begin = now();
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

PUBLIC int rename(const char *from, const char *to) { REAL(int, rename, const char *, const char *) if (!recording()) return real(from, to); inside++; return renamed(AT_FDCWD, from, AT_FDCWD, to, 0, CALLER); }
PUBLIC int renameat(int from_at, const char *from, int to_at, const char *to) { REAL(int, renameat, int, const char *, int, const char *) if (!recording()) return real(from_at, from, to_at, to); inside++; return renamed(from_at, from, to_at, to, 0, CALLER); }
PUBLIC int renameat2(int from_at, const char *from, int to_at, const char *to, unsigned flags) { REAL(int, renameat2, int, const char *, int, const char *, unsigned) if (!recording()) return real(from_at, from, to_at, to, flags); inside++; return renamed(from_at, from, to_at, to, flags, CALLER); }

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

PUBLIC int unlink(const char *path) { REAL(int, unlink, const char *) if (!recording()) return real(path); inside++; return unlinked(AT_FDCWD, path, 0, CALLER); }
PUBLIC int unlinkat(int at, const char *path, int flags) { REAL(int, unlinkat, int, const char *, int) if (!recording()) return real(at, path, flags); inside++; return unlinked(at, path, flags, CALLER); }
PUBLIC int remove(const char *path)
{
    REAL(int, remove, const char *)
    struct statx found;
    if (!recording() || about(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, &found) || S_ISDIR(found.stx_mode))
        return real(path);
    inside++;
    return unlinked(AT_FDCWD, path, 0, CALLER);
}

/* Processes. */

PUBLIC pid_t vfork(void) { return fork(); } /* what shares memory with its parent cannot have a log of its own */

static pid_t waited(pid_t pid)
{
    int error = errno;
    if (pid > 0 && recording()) {
        inside++;
        struct event *event = new_event(WAITED, now());
        if (event)
            event->other = pid, event->end = now();
        inside--;
    }
    errno = error;
    return pid;
}

PUBLIC pid_t wait(int *status) { REAL(pid_t, wait, int *) return waited(real(status)); }
PUBLIC pid_t waitpid(pid_t pid, int *status, int options) { REAL(pid_t, waitpid, pid_t, int *, int) return waited(real(pid, status, options)); }
PUBLIC pid_t wait3(int *status, int options, struct rusage *used) { REAL(pid_t, wait3, int *, int, struct rusage *) return waited(real(status, options, used)); }
PUBLIC pid_t wait4(pid_t pid, int *status, int options, struct rusage *used) { REAL(pid_t, wait4, pid_t, int *, int, struct rusage *) return waited(real(pid, status, options, used)); }
/* These wait inside the C library: for a child that nobody names here. */
static int waited_for_one(int status)
{
    int error = errno;
    if (recording()) {
        inside++;
        struct event *event = new_event(WAITED, now());
        if (event)
            event->other = 0, event->end = now();
        inside--;
    }
    errno = error;
    return status;
}

PUBLIC int system(const char *command) { REAL(int, system, const char *) return waited_for_one(real(command)); }
PUBLIC int pclose(FILE *stream) { REAL(int, pclose, FILE *) return waited_for_one(real(stream)); }

PUBLIC int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    REAL(int, waitid, idtype_t, id_t, siginfo_t *, int)
    int result = real(type, id, info, options), error = errno;
    if (!result && info && info->si_pid && !(options & WNOWAIT))
        waited(info->si_pid);
    errno = error;
    return result;
}

PUBLIC void _exit(int code_) { exits(); syscall(SYS_exit_group, code_); __builtin_unreachable(); }
PUBLIC void _Exit(int code_) { exits(); syscall(SYS_exit_group, code_); __builtin_unreachable(); }

static void executes(const char *path, void *caller, void *frame)
{
    if (!recording() || !path)
        return;
    inside++;
    static char line[4200];
    if (before(EXEC, -1, 0, caller, frame)) {
        lock_table();
        int length = snprintf(line, sizeof line, "executes %.4000s", path);
        plain(line);
        line[length++] = '\n';
        write_text(line, (size_t)length);
        unlock_table();
    }
    inside--;
}

PUBLIC int execve(const char *path, char *const argv[], char *const envp[]) { REAL(int, execve, const char *, char *const[], char *const[]) executes(path, CALLER); return real(path, argv, envp); }
PUBLIC int execv(const char *path, char *const argv[]) { REAL(int, execv, const char *, char *const[]) executes(path, CALLER); return real(path, argv); }
PUBLIC int execvp(const char *path, char *const argv[]) { REAL(int, execvp, const char *, char *const[]) executes(path, CALLER); return real(path, argv); }
PUBLIC int execvpe(const char *path, char *const argv[], char *const envp[]) { REAL(int, execvpe, const char *, char *const[], char *const[]) executes(path, CALLER); return real(path, argv, envp); }

/* Locks in shared memory order what processes do, though they are no locks of files. */

static uint32_t place_of(const void *address, int64_t *offset)
{
    static __thread struct { const void *address; uint32_t file; int64_t offset; } last[16] __attribute__((tls_model("initial-exec")));
    unsigned at = ((uintptr_t)address >> 3) % 16;
    if (last[at].address == address)
        return *offset = last[at].offset, last[at].file;
    uint32_t file = NOT_CHOSEN;
    static char maps[1 << 16]; /* with the table; a signal handler may post to a semaphore, so nothing is allocated */
    lock_table();
    int list = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    long have = 0, more;
    while (list >= 0 && file == NOT_CHOSEN && (more = syscall(SYS_read, list, maps + have, sizeof maps - 1 - (size_t)have)) > 0) {
        char *line = maps, *end;
        maps[have += more] = 0;
        for (; (end = strchr(line, '\n')); line = end + 1) {
            unsigned long from, to, start, major, minor, inode;
            char modes[8];
            *end = 0;
            if (sscanf(line, "%lx-%lx %7s %lx %lx:%lx %lu", &from, &to, modes, &start, &major, &minor, &inode) == 7 &&
                from <= (uintptr_t)address && (uintptr_t)address < to && modes[3] == 's') {
                struct statx its = {.stx_ino = inode, .stx_dev_major = (uint32_t)major, .stx_dev_minor = (uint32_t)minor};
                file = file_of(&its, "shared memory", CHANNEL);
                *offset = (int64_t)(start + ((uintptr_t)address - from));
            }
        }
        have = (long)strlen(line);
        memmove(maps, line, (size_t)have);
    }
    if (list >= 0)
        syscall(SYS_close, list);
    unlock_table();
    last[at].address = address;
    last[at].file = file;
    last[at].offset = *offset;
    return file;
}

static void synchronized(enum kind kind, const void *address, uint64_t begun)
{
    int error = errno;
    int64_t offset = 0;
    inside++;
    uint32_t file = place_of(address, &offset);
    struct event *event = file == NOT_CHOSEN ? NULL : new_event(kind, begun);
    if (event)
        event->file = file, event->start = offset, event->end = now();
    inside--;
    errno = error;
}

/* The bit of a mutex that other processes may take (sysdeps/nptl/bits/struct_mutex.h, __kind; glibc keeps its place). */
static int is_shared(const pthread_mutex_t *mutex) { return mutex->__data.__kind & 128; }

#define LOCKS_MUTEX(name, ...) \
    { REAL(int, name, __VA_ARGS__) uint64_t begun = now(); int result = real
#define ENTERED(mutex) if ((!result || result == EOWNERDEAD) && recording() && is_shared(mutex)) synchronized(ENTER, mutex, begun); return result; }
PUBLIC int pthread_mutex_lock(pthread_mutex_t *mutex) LOCKS_MUTEX(pthread_mutex_lock, pthread_mutex_t *)(mutex); ENTERED(mutex)
PUBLIC int pthread_mutex_trylock(pthread_mutex_t *mutex) LOCKS_MUTEX(pthread_mutex_trylock, pthread_mutex_t *)(mutex); ENTERED(mutex)
PUBLIC int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) LOCKS_MUTEX(pthread_mutex_timedlock, pthread_mutex_t *, const struct timespec *)(mutex, until); ENTERED(mutex)
PUBLIC int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    REAL(int, pthread_mutex_unlock, pthread_mutex_t *)
    if (recording() && is_shared(mutex))
        synchronized(LEAVE, mutex, now());
    return real(mutex);
}

#define WAITS_FOR(name, ...) { REAL(int, name, __VA_ARGS__) uint64_t begun = now(); int result = real
#define GOT(semaphore) if (!result && recording()) synchronized(ENTER, semaphore, begun); return result; }
PUBLIC int sem_wait(sem_t *semaphore) WAITS_FOR(sem_wait, sem_t *)(semaphore); GOT(semaphore)
PUBLIC int sem_trywait(sem_t *semaphore) WAITS_FOR(sem_trywait, sem_t *)(semaphore); GOT(semaphore)
PUBLIC int sem_timedwait(sem_t *semaphore, const struct timespec *until) WAITS_FOR(sem_timedwait, sem_t *, const struct timespec *)(semaphore, until); GOT(semaphore)
PUBLIC int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) WAITS_FOR(sem_clockwait, sem_t *, clockid_t, const struct timespec *)(semaphore, clock, until); GOT(semaphore)
PUBLIC int sem_post(sem_t *semaphore)
{
    REAL(int, sem_post, sem_t *)
    if (recording())
        synchronized(LEAVE, semaphore, now());
    return real(semaphore);
}
