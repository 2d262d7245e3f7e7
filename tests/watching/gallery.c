/* Small programs that lock rightly or wrongly: gallery NAME FILE WORKER.

   Several copies run at once. Each adds to a counter at the start of FILE, or does what its name says; what is expected
   of each stands in tests/watching/test_gallery.py. A wrong one is wrong in every run, whichever copy comes first. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <semaphore.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { ROUNDS = 5, WORKERS = 3 };
static const char *path;
static int worker, file;

static int lock_range(int command, int type, int on, long start, long length)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(on, command, &lock);
}

static void lock(void) { lock_range(F_SETLKW, F_WRLCK, file, 0, 8); }
static void unlock(void) { lock_range(F_SETLK, F_UNLCK, file, 0, 8); }

static void add_at(long at)
{
    uint64_t value = 0;
    pread(file, &value, sizeof value, at);
    value++;
    pwrite(file, &value, sizeof value, at);
}

static void add(void) { add_at(0); }

static int open_beside(const char *ending, int flags)
{
    char name[4096];
    snprintf(name, sizeof name, "%s%s", path, ending);
    return open(name, flags, 0600);
}

static int exists(const char *ending, int whose)
{
    char name[4096];
    snprintf(name, sizeof name, "%s.%s%d", path, ending, whose);
    return !access(name, F_OK);
}

static void tell(const char *ending)
{
    char name[64];
    snprintf(name, sizeof name, ".%s%d", ending, worker);
    close(open_beside(name, O_CREAT | O_WRONLY));
}

static void wait_for(const char *ending, int whose) { while (!exists(ending, whose)) usleep(200); }

static void meet(const char *ending)
{
    tell(ending);
    for (int whose = 0; whose < WORKERS; whose++)
        wait_for(ending, whose);
}

/* Right. */

static void plain(void) { lock(); add(); unlock(); }
static void open_description(void) { lock_range(F_OFD_SETLKW, F_WRLCK, file, 0, 8); add(); lock_range(F_OFD_SETLK, F_UNLCK, file, 0, 8); }
static void whole(void) { flock(file, LOCK_EX); add(); flock(file, LOCK_UN); }
static void other_byte(void) { lock_range(F_SETLKW, F_WRLCK, file, 1000000, 1); add(); lock_range(F_SETLK, F_UNLCK, file, 1000000, 1); }
static void neighbours(void) { lock_range(F_SETLKW, F_WRLCK, file, 8 * worker, 8); add_at(8 * worker); lock_range(F_SETLK, F_UNLCK, file, 8 * worker, 8); }

static void readers(void)
{
    uint64_t value;
    lock_range(F_SETLKW, F_RDLCK, file, 0, 8);
    pread(file, &value, sizeof value, 0);
    unlock();
    plain();
}

static void closed_to_unlock(void)
{
    int own = open(path, O_RDWR);
    flock(own, LOCK_EX);
    add();
    close(own);
}

static void lock_file(void)
{
    char name[4096];
    int made;
    snprintf(name, sizeof name, "%s.lock", path);
    while ((made = open(name, O_CREAT | O_EXCL | O_WRONLY, 0600)) < 0)
        usleep(100);
    add();
    close(made);
    unlink(name);
}

static void beside(void)
{
    static int guard = -1;
    if (guard < 0)
        guard = open_beside(".guard", O_CREAT | O_RDWR | O_CLOEXEC);
    flock(guard, LOCK_EX);
    add();
    flock(guard, LOCK_UN);
}

static void child_waited_for(void)
{
    lock();
    if (!fork()) {
        add();
        _exit(0);
    }
    wait(NULL);
    unlock();
}

static void stream_flushed(void)
{
    FILE *stream = fopen(path, "r+");
    flock(fileno(stream), LOCK_EX);
    unsigned long value = 0;
    if (fscanf(stream, "%lu", &value) < 0)
        value = 0;
    rewind(stream);
    fprintf(stream, "%lu", value + 1);
    fflush(stream);
    flock(fileno(stream), LOCK_UN);
    fclose(stream);
}

static void appended(void)
{
    int own = open(path, O_WRONLY | O_APPEND);
    write(own, "a line\n", 7);
    close(own);
}

static void inode_checked(void)
{
    for (;;) {
        struct stat ours, named;
        int own = open(path, O_RDWR);
        flock(own, LOCK_EX);
        if (!fstat(own, &ours) && !stat(path, &named) && ours.st_ino == named.st_ino) {
            char fresh[4096];
            snprintf(fresh, sizeof fresh, "%s.%d", path, worker);
            int next = open(fresh, O_CREAT | O_TRUNC | O_WRONLY, 0600);
            write(next, "new", 3);
            close(next);
            rename(fresh, path);
            close(own);
            return;
        }
        close(own);
    }
}

static void semaphore(void)
{
    static sem_t *shared;
    struct stat its;
    char name[64];
    if (!shared) {
        fstat(file, &its);
        snprintf(name, sizeof name, "/lab-gallery-%lu", (unsigned long)its.st_ino);
        shared = sem_open(name, O_CREAT, 0600, 1);
    }
    sem_wait(shared);
    add();
    sem_post(shared);
}

static void emptied_lock_file(void)
{
    int guard = open_beside(".guard", O_CREAT | O_RDWR | O_TRUNC); /* no data in it */
    flock(guard, LOCK_EX);
    add();
    close(guard);
}

static void shared_by_workers(void)
{
    int own = open_beside(".guard", O_CREAT | O_RDWR);
    flock(own, LOCK_EX);
    pid_t child = fork();
    if (!child) {
        add(); /* the parent closes its copy meanwhile: the lock goes with the last one */
        _exit(0);
    }
    close(own);
    waitpid(child, NULL, 0);
}

static void by_system(void)
{
    char command[4096];
    snprintf(command, sizeof command, "printf x >> '%s.log'; cat '%s.log' > /dev/null", path, path);
    flock(file, LOCK_EX);
    if (system(command))
        _exit(1);
    flock(file, LOCK_UN);
}

static char small[16384];
static void on_signal(int number) { (void)number; close(open(path, O_RDONLY)); close(open_beside(".seen", O_CREAT | O_WRONLY)); }

static void signalled(void)
{
    stack_t stack = {.ss_sp = small + 4096, .ss_size = sizeof small - 4096};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = SA_ONSTACK};
    memset(small, 7, 4096);
    sigaltstack(&stack, NULL);
    sigaction(SIGUSR1, &action, NULL);
    whole();
    raise(SIGUSR1);
    for (int at = 0; at < 4096; at++) /* what lies below the stack is another's */
        if (small[at] != 7)
            abort();
}

static void tried_again(void)
{
    while (lock_range(F_SETLK, F_WRLCK, file, 0, 8))
        usleep(100);
    add();
    unlock();
}

/* Wrong. */

static void no_lock(void) { add(); }
static void other_ranges(void) { lock_range(F_SETLKW, F_WRLCK, file, 100 + worker, 1); add(); lock_range(F_SETLK, F_UNLCK, file, 100 + worker, 1); }
static void past_its_range(void) { lock_range(F_SETLKW, F_WRLCK, file, 8 * worker, 8); add_at(8 * worker); add_at(8 * worker + 8); lock_range(F_SETLK, F_UNLCK, file, 8 * worker, 8); }
static void closes_another(void) { lock(); close(open(path, O_RDONLY)); add(); unlock(); }
static void closes_a_copy(void) { lock(); close(dup(file)); add(); unlock(); }
static void closes_a_stream(void) { lock(); fclose(fopen(path, "r")); add(); unlock(); }

static void reads_first(void)
{
    uint64_t value = 0;
    pread(file, &value, sizeof value, 0);
    lock();
    value++;
    pwrite(file, &value, sizeof value, 0);
    unlock();
}

static void child_works(void)
{
    lock();
    pid_t child = fork();
    if (!child) {
        add();
        _exit(0);
    }
    unlock();
    waitpid(child, NULL, 0);
}

static void writes_after(void)
{
    uint64_t value = 0;
    lock();
    pread(file, &value, sizeof value, 0);
    unlock();
    value++;
    pwrite(file, &value, sizeof value, 0);
}

static void stream_late(void)
{
    FILE *stream = fopen(path, "r+");
    flock(fileno(stream), LOCK_EX);
    fprintf(stream, "%d", worker);
    flock(fileno(stream), LOCK_UN);
    fclose(stream);
}

static void writes_shared(void) { lock_range(F_SETLKW, F_RDLCK, file, 0, 8); add(); unlock(); }
static void two_kinds(void) { if (worker) whole(); else plain(); }
static void reader_without(void) { uint64_t value; if (worker) pread(file, &value, sizeof value, 0); else plain(); }

static void locked_twice(void)
{
    int own = open(path, O_RDWR);
    lock();
    lock_range(F_SETLKW, F_WRLCK, own, 0, 8);
    lock_range(F_SETLK, F_UNLCK, own, 0, 8);
    add();
    unlock();
    _exit(0);
}

static void opposite_order(void)
{
    long first = worker ? 100 : 101, second = worker ? 101 : 100;
    lock_range(F_SETLKW, F_WRLCK, file, 0, 1); /* lets one in at a time, until the last round */
    lock_range(F_SETLKW, F_WRLCK, file, 0, 8);
    unlock();
    lock_range(F_SETLKW, F_WRLCK, file, first, 1);
    if (!lock_range(F_SETLKW, F_WRLCK, file, second, 1))
        lock_range(F_SETLK, F_UNLCK, file, second, 1);
    lock_range(F_SETLK, F_UNLCK, file, first, 1);
}

static void replaced(void)
{
    char fresh[4096];
    int own = open(path, O_RDWR);
    meet("open"); /* the others open the same file */
    flock(own, LOCK_EX);
    int data = open(path, O_RDONLY);
    snprintf(fresh, sizeof fresh, "%s.%d", path, worker);
    int next = open(fresh, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    write(next, "new", 3);
    close(next);
    rename(fresh, path);
    close(data);
    close(own);
}

static void updates_replaced(void)
{
    char fresh[4096];
    if (worker) {
        flock(file, LOCK_EX);
        add();
        flock(file, LOCK_UN);
    } else {
        flock(file, LOCK_EX);
        snprintf(fresh, sizeof fresh, "%s.new", path);
        close(open(fresh, O_CREAT | O_WRONLY, 0600));
        rename(fresh, path);
        flock(file, LOCK_UN);
    }
    meet("replaced");
    flock(file, LOCK_EX);
    add();
    _exit(0);
}

static void emptied_first(void)
{
    int own = open(path, O_WRONLY | O_TRUNC);
    flock(own, LOCK_EX);
    write(own, "12345678", 8);
    flock(own, LOCK_UN);
    close(own);
}

static void went_on(void)
{
    if (worker) {
        wait_for("held", 0);
        lock_range(F_SETLK, F_WRLCK, file, 0, 8);
        add();
    } else {
        lock();
        tell("held");
    }
    meet("done");
    _exit(0);
}

static void unlocked_by_child(void)
{
    flock(file, LOCK_EX);
    if (!fork()) {
        flock(file, LOCK_UN);
        _exit(0);
    }
    wait(NULL);
    add();
    flock(file, LOCK_UN);
}

static void kept_by_child(void)
{
    int own = open(path, O_RDWR), ends[2];
    flock(own, LOCK_EX);
    add();
    pipe(ends);
    if (!fork()) {
        dup2(ends[0], 0);
        close(ends[0]);
        close(ends[1]);
        execl("/bin/cat", "cat", NULL); /* reads to the end of the pipe, and has the locked file open */
        _exit(1);
    }
    close(ends[0]);
    close(own);
    usleep(1000);
    close(ends[1]);
    wait(NULL);
    _exit(0);
}

static void cut_below(void)
{
    if (worker) {
        lock_range(F_SETLKW, F_RDLCK, file, 0, 8);
        void *at = mmap(NULL, 4096, PROT_READ, MAP_SHARED, file, 0);
        unlock();
        tell("mapped");
        wait_for("cut", 0);
        munmap(at, 4096);
    } else {
        wait_for("mapped", 1);
        wait_for("mapped", 2);
        lock();
        ftruncate(file, 0);
        ftruncate(file, 4096);
        unlock();
        tell("cut");
    }
    _exit(0);
}

static void in_pieces(void)
{
    int own = open(path, O_WRONLY | O_APPEND);
    write(own, "one ", 4);
    meet("begun");
    write(own, "line\n", 5);
    _exit(0);
}

static void never_unlocks(void)
{
    if (worker)
        wait_for("held", 0);
    lock();
    add();
    tell("held");
    if (!worker)
        pause();
    unlock();
}

/* Notes. */

static void made_exclusive(void) { uint64_t value; flock(file, LOCK_SH); pread(file, &value, sizeof value, 0); flock(file, LOCK_EX); add(); flock(file, LOCK_UN); }
static void unlocks_nothing(void) { plain(); unlock(); }
static void killed_inside(void) { lock(); add(); kill(getpid(), SIGKILL); }

#define NAMED(name) {#name, name}
static const struct { const char *name; void (*work)(void); } programs[] = {
    NAMED(plain), NAMED(open_description), NAMED(whole), NAMED(other_byte), NAMED(neighbours), NAMED(readers),
    NAMED(closed_to_unlock), NAMED(lock_file), NAMED(beside), NAMED(child_waited_for), NAMED(stream_flushed),
    NAMED(appended), NAMED(inode_checked), NAMED(semaphore), NAMED(tried_again),
    NAMED(emptied_lock_file), NAMED(shared_by_workers), NAMED(by_system), NAMED(signalled),
    NAMED(no_lock), NAMED(other_ranges), NAMED(past_its_range), NAMED(closes_another), NAMED(closes_a_copy),
    NAMED(closes_a_stream), NAMED(reads_first), NAMED(child_works), NAMED(writes_after), NAMED(stream_late),
    NAMED(writes_shared), NAMED(two_kinds), NAMED(reader_without), NAMED(locked_twice), NAMED(opposite_order),
    NAMED(replaced), NAMED(updates_replaced), NAMED(emptied_first), NAMED(went_on), NAMED(unlocked_by_child), NAMED(kept_by_child),
    NAMED(cut_below), NAMED(in_pieces), NAMED(never_unlocks),
    NAMED(made_exclusive), NAMED(unlocks_nothing), NAMED(killed_inside),
};

int main(int count, char **words)
{
    if (count < 4 || (file = open(path = words[2], O_RDWR)) < 0)
        return 2;
    worker = atoi(words[3]);
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++)
        if (!strcmp(programs[k].name, words[1])) {
            for (int round = 0; round < ROUNDS; round++)
                programs[k].work();
            return 0;
        }
    return 2;
}
