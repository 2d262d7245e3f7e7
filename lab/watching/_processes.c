/* The life of a process: it starts, forks, executes another program, waits for its children, and ends. */

#include "_watch.h"

static uint64_t forked_at;
static int forks;

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
    log_->level = (uint32_t)level;
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

static void before_fork(void) { inside++; boundary(0); forked_at = now(); lock_table(); forks++; }
static void in_parent(void) { unlock_table(); inside--; }

static void in_child(void)
{
    unlock_table();
    inside--;
    if (!log_)
        return;
    inside++;
    leave_log();
    forget_stacks();
    name_child(forks - 1);
    forks = 0;
    open_log();
    if (log_) {
        write_program();
        write_who();
        write_maps();
        for (uint32_t k = 1; k <= file_count; k++) {
            char line[200];
            write_text(line, (size_t)snprintf(line, sizeof line, "same %u %llu %llu %lld %d\n", k, (unsigned long long)files[k].device,
                       (unsigned long long)files[k].inode, (long long)files[k].born, file_type[k]));
        }
        if (level == PAGES)
            pages_of_child();
        boundary(0); /* what the parent recorded is not in this log */
        struct event *event = new_event(FORK, forked_at);
        if (event)
            event->other = log_->parent, event->end = now();
    }
    inside--;
}

__attribute__((constructor)) static void begin(void)
{
    const char *where = getenv("LAB_WATCH_DIR");
    if (!where || !*where || strlen(where) >= sizeof folder)
        return;
    int error = errno;
    inside++;
    strcpy(folder, where);
    globs = getenv("LAB_WATCH_FILES");
    outputs = getenv("LAB_WATCH_OUTPUT");
    prepare_stacks();
    prepare_replay();
    open_log();
    if (log_) {
        write_program();
        write_who();
        write_maps();
        start();
        const char *asked = getenv("LAB_WATCH_LEVEL");
        level = !asked ? CALLS : !strcmp(asked, "accesses") ? ACCESSES : !strcmp(asked, "pages") ? PAGES : CALLS;
        if (level == ACCESSES)
            prepare_accesses();
        else if (level == PAGES)
            prepare_pages();
        log_->level = (uint32_t)level;
        pthread_atfork(before_fork, in_parent, in_child);
    }
    inside--;
    errno = error;
}

void exits(void)
{
    if (!recording())
        return;
    inside++;
    boundary(0);
    struct event *event = new_event(EXIT, now());
    if (event)
        event->end = now();
    inside--;
}

__attribute__((destructor)) static void finish(void) { exits(); }

PUBLIC pid_t vfork(void) { return fork(); } /* what shares memory with its parent cannot have a log of its own */

static pid_t waited(pid_t pid)
{
    int error = errno;
    if (pid > 0 && recording()) {
        inside++;
        boundary(0);
        struct event *event = new_event(WAITED, now());
        if (event)
            event->other = pid, event->end = now();
        inside--;
    }
    errno = error;
    return pid;
}

#define STATUS LENT(status, sizeof *status, STORE)
#define USED LENT(used, sizeof *used, STORE)
PUBLIC pid_t wait(int *status) { REAL(pid_t, wait, int *) return waited(real(STATUS)); }
PUBLIC pid_t waitpid(pid_t pid, int *status, int options) { REAL(pid_t, waitpid, pid_t, int *, int) return waited(real(pid, STATUS, options)); }
PUBLIC pid_t wait3(int *status, int options, struct rusage *used) { REAL(pid_t, wait3, int *, int, struct rusage *) return waited(real(STATUS, options, USED)); }
PUBLIC pid_t wait4(pid_t pid, int *status, int options, struct rusage *used) { REAL(pid_t, wait4, pid_t, int *, int, struct rusage *) return waited(real(pid, STATUS, options, USED)); }
/* These wait inside the C library: for a child that nobody names here. */
static int waited_for_one(int status)
{
    int error = errno;
    if (recording()) {
        inside++;
        boundary(0);
        struct event *event = new_event(WAITED, now());
        if (event)
            event->other = 0, event->end = now();
        inside--;
    }
    errno = error;
    return status;
}

PUBLIC int system(const char *command) { REAL(int, system, const char *) return waited_for_one(real(TEXT(command))); }
PUBLIC int pclose(FILE *stream) { REAL(int, pclose, FILE *) return waited_for_one(real(stream)); }

PUBLIC int waitid(idtype_t type, id_t id, siginfo_t *info, int options)
{
    REAL(int, waitid, idtype_t, id_t, siginfo_t *, int)
    int result = real(type, id, LENT(info, sizeof *info, STORE), options), error = errno;
    if (!result && info && info->si_pid && !(options & WNOWAIT))
        waited(info->si_pid);
    errno = error;
    return result;
}

PUBLIC void _exit(int code_) { exits(); syscall(SYS_exit_group, code_); __builtin_unreachable(); }
PUBLIC void _Exit(int code_) { exits(); syscall(SYS_exit_group, code_); __builtin_unreachable(); }

/* What executes a program closes the descriptors that have FD_CLOEXEC, no earlier than it begins; it never returns. */
enum { MOST_CLOSED = 256 };
static struct event *closed[MOST_CLOSED];
static int closed_count;

static void note_closed(void)
{
    for (int fd = 0; fd < 1024 && closed_count < MOST_CLOSED; fd++) {
        long flags = syscall(SYS_fcntl, fd, F_GETFD);
        uint32_t file = flags > 0 && flags & FD_CLOEXEC ? file_at(fd) : NOT_CHOSEN;
        if (file == NOT_CHOSEN || file_type[file] != REGULAR)
            continue;
        struct event *event = new_event(EXEC, now());
        if (event)
            event->fd = fd, event->file = file, closed[closed_count++] = event;
    }
}

static void executes(const char *path, void *caller, void *frame)
{
    if (!recording() || !path)
        return;
    inside++;
    static char line[4200];
    closed_count = 0;
    if (before(EXEC, -1, 0, caller, frame)) {
        note_closed();
        lock_table();
        int length = snprintf(line, sizeof line, "executes %.4000s", path);
        plain(line);
        line[length++] = '\n';
        write_text(line, (size_t)length);
        unlock_table();
    }
    inside--;
}

/* It did return: nothing was executed, and nothing closed. */
static int failed(int result)
{
    int error = errno;
    for (int k = 0; log_ && k < closed_count; k++)
        closed[k]->result = -error, closed[k]->end = now();
    closed_count = 0;
    if (recording())
        write_text("failed\n", 7);
    errno = error;
    return result;
}

static int words_in(char *const *words)
{
    int count = 0;
    while (words && words[count])
        count++;
    return count;
}

#define WORDS(words) (level == ACCESSES && mapping_count ? words_for_kernel(words, __builtin_alloca(sizeof *(words) * (size_t)(words_in(words) + 1)), words_in(words), CALLER) : (words))
#define EXECUTES(name, parameters, arguments, ...) PUBLIC int name parameters { REAL(int, name, __VA_ARGS__) path = TEXT(path); executes(path, CALLER); return failed(real arguments); }
EXECUTES(execve, (const char *path, char *const argv[], char *const envp[]), (path, WORDS(argv), WORDS(envp)), const char *, char *const[], char *const[])
EXECUTES(execv, (const char *path, char *const argv[]), (path, WORDS(argv)), const char *, char *const[])
EXECUTES(execvp, (const char *path, char *const argv[]), (path, WORDS(argv)), const char *, char *const[])
EXECUTES(execvpe, (const char *path, char *const argv[], char *const envp[]), (path, WORDS(argv), WORDS(envp)), const char *, char *const[], char *const[])
EXECUTES(execveat, (int at, const char *path, char *const argv[], char *const envp[], int flags), (at, path, WORDS(argv), WORDS(envp), flags), int, const char *, char *const[], char *const[], int)

PUBLIC int fexecve(int fd, char *const argv[], char *const envp[])
{
    REAL(int, fexecve, int, char *const[], char *const[])
    char path[40];
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    executes(path, CALLER);
    return failed(real(fd, WORDS(argv), WORDS(envp)));
}

/* Those with their arguments one by one end inside the C library, in a function that cannot be replaced. */
#define EXECUTES_LIST(name, by, has_environment) \
    PUBLIC int name(const char *path, const char *word, ...) \
    { \
        REAL(int, by, const char *, char *const[], char *const[]) \
        int count = 1; \
        va_list more; \
        va_start(more, word); \
        for (const char *at = word; at; count++) \
            at = va_arg(more, const char *); \
        va_end(more); \
        char **argv = __builtin_alloca((size_t)count * sizeof *argv), **envp = environ; \
        argv[0] = (char *)word; \
        va_start(more, word); \
        for (int k = 1; k < count; k++) \
            argv[k] = va_arg(more, char *); \
        if (has_environment) \
            envp = va_arg(more, char **); \
        va_end(more); \
        path = TEXT(path); \
        executes(path, CALLER); \
        return failed(real(path, WORDS(argv), WORDS(envp))); \
    }
EXECUTES_LIST(execl, execve, 0) EXECUTES_LIST(execlp, execvpe, 0) EXECUTES_LIST(execle, execve, 1)
