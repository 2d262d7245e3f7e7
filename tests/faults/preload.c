/* A library for LD_PRELOAD that fails one call, or sends one signal, at a point that is counted and not timed.

   LAB_FAULT=CALL:N:WHO:ACTION   CALL is a name of the table below, or "any"; N counts from 1, over all processes that WHO
   chooses: "main", the process that was started, or "child", all others. ACTION is an errno (28), or a signal (s9), which
   the process that calls sends to itself before the call. N = 0 does nothing but count.
   LAB_FAULT_LOG=PATH   at the end of the main process "CALL MAIN CHILD" a line: how often each was called.

   It counts from the moment the main process opens a file whose path has "/lab/cli/" in it: what the interpreter does
   before that is not the lab's. The log and the counters use system calls directly, so that they are not counted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define CALLS(X) \
    X(open) X(creat) X(read) X(write) X(pread) X(pwrite) X(close) X(stat) X(unlink) X(rename) X(mkdir) X(rmdir) X(fsync) \
    X(ftruncate) X(fallocate) X(mmap) X(munmap) X(fork) X(wait) X(kill) X(setpgid) X(pipe) X(socketpair) X(send) X(recv) \
    X(poll) X(dup) X(lock) X(unlock) X(getlk) X(fcntl) X(flock) X(prctl)
#define NAME(call) C_##call,
enum call { CALLS(NAME) COUNT, ANY };
#undef NAME
#define NAME(call) #call,
static const char *const names[] = {CALLS(NAME)};
#define MARKER "/lab/cli/"

enum who { MAIN, CHILD };
static struct shared { atomic_int counting; atomic_long counts[COUNT + 1][2]; } *shared;
static pid_t main_pid;
static int wanted = -1, who, number, is_signal;
static long nth;

static pid_t self(void) { return (pid_t)syscall(SYS_getpid); }

__attribute__((constructor)) static void start(void) {
    char text[100] = "", *rest = text;
    const char *given = getenv("LAB_FAULT");
    if (!given) return;
    strncpy(text, given, sizeof text - 1);
    const char *call = strsep(&rest, ":"), *at = strsep(&rest, ":"), *whose = strsep(&rest, ":"), *action = rest;
    if (!action) return;
    for (int i = 0; i < COUNT; i++) if (!strcmp(call, names[i])) wanted = i;
    if (!strcmp(call, "any")) wanted = COUNT;
    nth = atol(at);
    who = strcmp(whose, "main") ? CHILD : MAIN;
    is_signal = action[0] == 's';
    number = atoi(action + is_signal);
    main_pid = self();
    long place = syscall(SYS_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    shared = place == -1 ? NULL : (struct shared *)place;
}

__attribute__((destructor)) static void end(void) {
    const char *path = getenv("LAB_FAULT_LOG");
    if (!shared || !path || self() != main_pid) return;
    long log = syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    for (int i = 0; i <= COUNT; i++) {
        char line[80];
        int length = snprintf(line, sizeof line, "%s %ld %ld\n", i < COUNT ? names[i] : "any", (long)shared->counts[i][MAIN], (long)shared->counts[i][CHILD]);
        syscall(SYS_write, log, line, length);
    }
    syscall(SYS_close, log);
}

/* Count this call; true where it is to fail, with errno set. */
static int fails(int call) {
    if (!shared || !shared->counting) return 0;
    int caller = self() == main_pid ? MAIN : CHILD;
    long of_call = atomic_fetch_add(&shared->counts[call][caller], 1) + 1;
    long of_any = atomic_fetch_add(&shared->counts[COUNT][caller], 1) + 1;
    if (caller != who || !nth || !((call == wanted && of_call == nth) || (wanted == COUNT && of_any == nth))) return 0;
    if (is_signal) {
        syscall(SYS_kill, self(), number);
        return 0;
    }
    errno = number;
    return 1;
}

static void look(const char *path) {
    if (shared && !shared->counting && path && self() == main_pid && strstr(path, MARKER)) shared->counting = 1;
}

#define REAL(name) __typeof__(name) *real = (__typeof__(name) *)dlsym(RTLD_NEXT, #name)
#define W1(ret, name, call, A) ret name(A a) { REAL(name); return fails(C_##call) ? -1 : real(a); }
#define W2(ret, name, call, A, B) ret name(A a, B b) { REAL(name); return fails(C_##call) ? -1 : real(a, b); }
#define W3(ret, name, call, A, B, C) ret name(A a, B b, C c) { REAL(name); return fails(C_##call) ? -1 : real(a, b, c); }
#define W4(ret, name, call, A, B, C, D) ret name(A a, B b, C c, D d) { REAL(name); return fails(C_##call) ? -1 : real(a, b, c, d); }

W3(ssize_t, read, read, int, void *, size_t)
W3(ssize_t, write, write, int, const void *, size_t)
W4(ssize_t, pread64, pread, int, void *, size_t, off64_t)
W4(ssize_t, pwrite64, pwrite, int, const void *, size_t, off64_t)
W2(int, ftruncate64, ftruncate, int, off64_t)
W1(int, fsync, fsync, int)
W1(int, fdatasync, fsync, int)
W1(int, unlink, unlink, const char *)
W3(int, unlinkat, unlink, int, const char *, int)
W1(int, rmdir, rmdir, const char *)
W2(int, mkdir, mkdir, const char *, mode_t)
W3(int, mkdirat, mkdir, int, const char *, mode_t)
W2(int, rename, rename, const char *, const char *)
W4(int, renameat, rename, int, const char *, int, const char *)
W2(int, munmap, munmap, void *, size_t)
int pipe(int ends[2]) { REAL(pipe); return fails(C_pipe) ? -1 : real(ends); }
int pipe2(int ends[2], int flags) { REAL(pipe2); return fails(C_pipe) ? -1 : real(ends, flags); }
int socketpair(int domain, int type, int protocol, int ends[2]) {
    REAL(socketpair);
    return fails(C_socketpair) ? -1 : real(domain, type, protocol, ends);
}
W4(ssize_t, send, send, int, const void *, size_t, int)
W4(ssize_t, recv, recv, int, void *, size_t, int)
W3(int, poll, poll, struct pollfd *, nfds_t, int)
W2(int, kill, kill, pid_t, int)
W2(int, killpg, kill, pid_t, int)
W2(int, setpgid, setpgid, pid_t, pid_t)
W3(pid_t, waitpid, wait, pid_t, int *, int)
W4(pid_t, wait4, wait, pid_t, int *, int, struct rusage *)
W1(int, dup, dup, int)
W2(int, dup2, dup, int, int)
W2(int, flock, flock, int, int)
W2(int, stat64, stat, const char *, struct stat64 *)
W2(int, lstat64, stat, const char *, struct stat64 *)
W2(int, fstat64, stat, int, struct stat64 *)
W4(int, fstatat64, stat, int, const char *, struct stat64 *, int)

pid_t fork(void) { REAL(fork); return fails(C_fork) ? -1 : real(); }

int posix_fallocate64(int descriptor, off64_t start, off64_t length) {
    REAL(posix_fallocate64);
    return fails(C_fallocate) ? errno : real(descriptor, start, length);  /* it returns the error (posix_fallocate(3)) */
}

void *mmap64(void *address, size_t length, int protection, int flags, int descriptor, off64_t offset) {
    REAL(mmap64);
    return fails(C_mmap) ? MAP_FAILED : real(address, length, protection, flags, descriptor, offset);
}

int close(int descriptor) {  /* the descriptor is closed all the same, as close(2) says of EIO */
    REAL(close);
    int failed = fails(C_close), result = real(descriptor);
    if (!failed) return result;
    errno = number;
    return -1;
}

int open64(const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    REAL(open64);
    look(path);
    return fails(C_open) || ((flags & O_CREAT) && fails(C_creat)) ? -1 : real(path, flags, mode);
}

int openat64(int folder, const char *path, int flags, ...) {
    va_list more;
    va_start(more, flags);
    mode_t mode = va_arg(more, mode_t);
    va_end(more);
    REAL(openat64);
    return fails(C_open) || ((flags & O_CREAT) && fails(C_creat)) ? -1 : real(folder, path, flags, mode);
}

int fcntl64(int descriptor, int command, ...) {
    va_list more;
    va_start(more, command);
    void *argument = va_arg(more, void *);
    va_end(more);
    REAL(fcntl64);
    int call = C_fcntl;
    if (command == F_SETLK || command == F_SETLKW || command == F_OFD_SETLK || command == F_OFD_SETLKW)
        call = ((struct flock *)argument)->l_type == F_UNLCK ? C_unlock : C_lock;
    else if (command == F_GETLK || command == F_OFD_GETLK)
        call = C_getlk;
    return fails(call) ? -1 : real(descriptor, command, argument);
}

int prctl(int option, ...) {
    va_list more;
    va_start(more, option);
    unsigned long a = va_arg(more, unsigned long), b = va_arg(more, unsigned long), c = va_arg(more, unsigned long), d = va_arg(more, unsigned long);
    va_end(more);
    REAL(prctl);
    return fails(C_prctl) ? -1 : real(option, a, b, c, d);
}
