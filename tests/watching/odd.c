/* Programs that do unusual things, none of them wrong: odd NAME FILE. Each ends with 0 where it saw what it should. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *path;
static int file;

static int lock_as(int command, int type, int on)
{
    struct flock lock = {.l_type = (short)type, .l_len = 8};
    return fcntl(on, command, &lock);
}

static void add(int on)
{
    long value = 0;
    pread(on, &value, sizeof value, 0);
    value++;
    pwrite(on, &value, sizeof value, 0);
}

static int locked_add(void) { lock_as(F_SETLKW, F_WRLCK, file); add(file); return lock_as(F_SETLK, F_UNLCK, file); }

static int code(void) { locked_add(); return 7; }
static int signalled(void) { locked_add(); return raise(SIGTERM); }

static volatile int *told;
static void tell(int number) { *told = number; }
static void share(void) { told = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0); }

static int stopped(void)
{
    int status;
    share();
    pid_t child = fork();
    if (!child) {
        for (; !told[0]; usleep(100))
            told[1]++;
        _exit(locked_add());
    }
    while (!told[1])
        usleep(100);
    kill(child, SIGSTOP);
    waitpid(child, &status, WUNTRACED);
    int rounds = told[1];
    usleep(20000); /* it would go on in this time */
    if (!WIFSTOPPED(status) || told[1] != rounds)
        return 1;
    locked_add();
    tell(1);
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    return !WIFEXITED(status) || WEXITSTATUS(status);
}

static int own_filter(void)
{
    struct sock_filter code[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EDOM),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {4, code};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
        return 1;
    return locked_add() || syscall(SYS_getppid) != -1 || errno != EDOM;
}

static int traces(void)
{
    if (!fork())
        _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) == -1 && errno == EPERM ? locked_add() : 1);
    int status;
    wait(&status);
    return WEXITSTATUS(status);
}

static int vforked(void)
{
    static volatile int seen;
    lock_as(F_SETLKW, F_WRLCK, file);
    pid_t child = vfork();
    if (!child) {
        seen = 1;
        close(file); /* the child's: the parent's lock stays */
        execl("/bin/true", "true", NULL);
        _exit(1);
    }
    add(file);
    waitpid(child, NULL, 0);
    return lock_as(F_SETLK, F_UNLCK, file) || !seen;
}

static void *work(void *nothing)
{
    for (int round = 0; round < 5; round++) {
        int own = open(path, O_RDWR);
        lock_as(F_OFD_SETLKW, F_WRLCK, own);
        add(own);
        lock_as(F_OFD_SETLK, F_UNLCK, own);
        close(own);
    }
    return nothing;
}

static int threads(void)
{
    pthread_t all[4];
    fork();
    fork();
    for (int k = 0; k < 4; k++)
        pthread_create(&all[k], NULL, work, NULL);
    for (int k = 0; k < 4; k++)
        pthread_join(all[k], NULL);
    while (wait(NULL) > 0)
        ;
    return 0;
}

static int waits(int flags)
{
    int ready[2];
    char byte;
    share();
    struct sigaction action = {.sa_handler = tell, .sa_flags = flags};
    struct itimerval timer = {{0, 10000}, {0, 10000}};
    pipe(ready);
    if (!fork()) {
        lock_as(F_SETLKW, F_WRLCK, file);
        write(ready[1], "x", 1);
        while (!*told)
            usleep(1000);
        _exit(0);
    }
    read(ready[0], &byte, 1);
    sigaction(SIGALRM, &action, NULL);
    setitimer(ITIMER_REAL, &timer, NULL);
    int refused = lock_as(F_SETLKW, F_WRLCK, file);
    setitimer(ITIMER_REAL, &(struct itimerval){{0, 0}, {0, 0}}, NULL);
    wait(NULL);
    if (flags)
        return refused;
    return !refused || errno != EINTR;
}

static int restarted(void) { return waits(SA_RESTART); }
static int interrupted(void) { return waits(0); }
static int endless(void) { for (;;) { locked_add(); usleep(1000); } }

#define NAMED(name) {#name, name}
static const struct { const char *name; int (*work)(void); } programs[] = {
    NAMED(code), NAMED(signalled), NAMED(stopped), NAMED(own_filter), NAMED(traces), NAMED(vforked), NAMED(threads),
    NAMED(restarted), NAMED(interrupted), NAMED(endless),
};

int main(int count, char **words)
{
    if (count < 3 || (file = open(path = words[2], O_RDWR | O_CREAT, 0600)) < 0)
        return 2;
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++)
        if (!strcmp(programs[k].name, words[1]))
            return programs[k].work();
    return 2;
}
