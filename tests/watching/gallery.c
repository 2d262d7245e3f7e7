/* Small programs that lock rightly or wrongly: gallery NAME FILE WORKER, or gallery mapped:NAME FILE WORKER for one that
   uses a mapping of the file instead of read and write.

   Several copies run at once. Each adds to a counter at the start of FILE, or does what its name says; what is expected
   of each stands in tests/watching/test_gallery.py. A wrong one is wrong in every run, whichever copy comes first. */

#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
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
static char *memory; /* the mapping, where one is used */

static int lock_range(int command, int type, int on, long start, long length)
{
    struct flock lock = {.l_type = (short)type, .l_whence = SEEK_SET, .l_start = start, .l_len = length};
    return fcntl(on, command, &lock);
}

static void lock(void) { lock_range(F_SETLKW, F_WRLCK, file, 0, 8); }
static void unlock(void) { lock_range(F_SETLK, F_UNLCK, file, 0, 8); }

static uint64_t load_at(long at)
{
    uint64_t value = 0;
    if (memory)
        return *(volatile uint64_t *)(memory + at);
    pread(file, &value, sizeof value, at);
    return value;
}

static void store_at(long at, uint64_t value)
{
    if (memory)
        *(volatile uint64_t *)(memory + at) = value;
    else
        pwrite(file, &value, sizeof value, at);
}

static void add_at(long at) { store_at(at, load_at(at) + 1); }

static void add(void) { add_at(0); }

static void synced(void) { lock(); add(); if (memory) msync(memory, 4096, MS_SYNC); unlock(); }
static void synced_late(void) { lock(); add(); unlock(); if (memory) msync(memory, 4096, MS_SYNC); }
static void synced_sometime(void) { lock(); add(); if (memory) msync(memory, 4096, MS_ASYNC); unlock(); }

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
    lock_range(F_SETLKW, F_RDLCK, file, 0, 8);
    load_at(0);
    unlock();
    plain();
}

/* Readers that wait get in while the call that makes the lock shared has not returned. */
static void made_shared(void)
{
    for (int k = 0; k < 50; k++) {
        lock_range(F_SETLKW, worker ? F_RDLCK : F_WRLCK, file, 0, 8);
        if (!worker) {
            add();
            usleep(100);
            lock_range(F_SETLK, F_RDLCK, file, 0, 8);
        }
        load_at(0);
        unlock();
    }
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

/* Right, and only with a mapping. */

static void atomic_counter(void) { __atomic_fetch_add((uint64_t *)memory, 1, __ATOMIC_SEQ_CST); }

static void spin_lock(void)
{
    while (__atomic_exchange_n((uint32_t *)(memory + 64), 1, __ATOMIC_ACQUIRE))
        sched_yield();
    add();
    __atomic_store_n((uint32_t *)(memory + 64), 0, __ATOMIC_RELEASE);
}

static void handed_over(void)
{
    uint32_t *turn = (uint32_t *)(memory + 64); /* one after the other, told by a word that one of them once adds to */
    while (__atomic_load_n(turn, __ATOMIC_ACQUIRE) % WORKERS != (uint32_t)worker)
        sched_yield();
    add();
    __atomic_fetch_add(turn, 1, __ATOMIC_RELEASE);
}

static pthread_mutex_t *robust_mutex(void)
{
    pthread_mutexattr_t how;
    pthread_mutex_t *mutex = (pthread_mutex_t *)(memory + 128);
    int guard = open_beside(".guard", O_CREAT | O_RDWR);
    flock(guard, LOCK_EX);
    if (!memory[256]) {
        pthread_mutexattr_init(&how);
        pthread_mutexattr_setpshared(&how, PTHREAD_PROCESS_SHARED);
        pthread_mutexattr_setrobust(&how, PTHREAD_MUTEX_ROBUST);
        pthread_mutex_init(mutex, &how);
        memory[256] = 1;
    }
    close(guard);
    return mutex;
}

static void mutex_inside(void)
{
    pthread_mutex_t *mutex = robust_mutex();
    pthread_mutex_lock(mutex);
    add();
    pthread_mutex_unlock(mutex);
}

static void strings_beside(void)
{
    char *text = memory + 16 * worker; /* each has a string of its own; what looks for its end reads beyond it */
    lock_range(F_SETLKW, F_WRLCK, file, 16 * worker, 16);
    snprintf(text, 16, "text %d", worker);
    if (strlen(text) != 6 || strchr(text, 't') != text || memchr(text, ' ', 6) != text + 4 || strcmp(text, "text") < 0)
        abort();
    lock_range(F_SETLK, F_UNLCK, file, 16 * worker, 16);
}

static void copied(void)
{
    char record[300];
    lock_range(F_SETLKW, F_WRLCK, file, 512, 300);
    memcpy(record, memory + 512, sizeof record);
    record[worker]++;
    memcpy(memory + 512, record, sizeof record);
    memmove(memory + 520, memory + 512, 200);
    memset(memory + 700, worker, 100);
    lock_range(F_SETLK, F_UNLCK, file, 512, 300);
}

static void written_from(void)
{
    flock(file, LOCK_EX);
    int own = open("/dev/null", O_WRONLY), zero = open("/dev/zero", O_RDONLY);
    if (write(own, memory, 100) != 100 || read(zero, memory + 8, 50) != 50)
        abort();
    close(own);
    close(zero);
    flock(file, LOCK_UN);
}

static void mapped_anew(void)
{
    flock(file, LOCK_EX);
    char *own = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    ftruncate(file, 8192);
    own[4096]++;
    own = mremap(own, 8192, 4096, 0);
    mprotect(own, 4096, PROT_READ);
    if (own[0] > 100)
        abort();
    mprotect(own, 4096, PROT_READ | PROT_WRITE);
    own[0] = 1;
    mmap(own, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
    own[0] = 7;
    munmap(own, 4096);
    flock(file, LOCK_UN);
}

/* Wrong. */

static void copied_late(void)
{
    char record[300];
    lock_range(F_SETLKW, F_WRLCK, file, 512, 300);
    memcpy(record, memory + 512, sizeof record);
    lock_range(F_SETLK, F_UNLCK, file, 512, 300);
    record[worker]++;
    memcpy(memory + 512, record, sizeof record);
}

static void written_without(void)
{
    int own = open("/dev/null", O_WRONLY);
    if (worker)
        write(own, memory, 100);
    else
        plain();
    close(own);
}

static void spin_lock_forgotten(void) { if (worker) spin_lock(); else add(); }
static void mutex_forgotten(void) { if (worker) mutex_inside(); else add(); }

static void torn_string(void)
{
    static const char text[] = "a string that is longer than one vector of thirty-two bytes";
    if (worker)
        strlen(memory + 1024) > 3000 ? abort() : (void)0;
    else {
        lock_range(F_SETLKW, F_WRLCK, file, 1024, 100);
        memcpy(memory + 1024, text, sizeof text);
        lock_range(F_SETLK, F_UNLCK, file, 1024, 100);
    }
}

static void no_lock(void) { add(); }
static void other_ranges(void) { lock_range(F_SETLKW, F_WRLCK, file, 100 + worker, 1); add(); lock_range(F_SETLK, F_UNLCK, file, 100 + worker, 1); }
static void past_its_range(void) { lock_range(F_SETLKW, F_WRLCK, file, 8 * worker, 8); add_at(8 * worker); add_at(8 * worker + 8); lock_range(F_SETLK, F_UNLCK, file, 8 * worker, 8); }
/* An exec closes what has FD_CLOEXEC: another copy has the lock before the new program makes its first call. */
static void executes(const char *name)
{
    char word[9];
    int own = open(path, O_RDWR | O_CLOEXEC);
    meet("begun");
    lock_range(F_SETLKW, F_WRLCK, own, 0, 8);
    add();
    usleep(2000); /* the others ask by now */
    snprintf(word, sizeof word, "%d", worker);
    execl("/proc/self/exe", "gallery", name, path, word, NULL);
}

static void locks_after_exec(void) { executes("plain"); }
static void forgets_after_exec(void) { executes("no_lock"); }

static void closes_another(void) { lock(); close(open(path, O_RDONLY)); add(); unlock(); }
static void closes_a_copy(void) { lock(); close(dup(file)); add(); unlock(); }
static void closes_a_stream(void) { lock(); fclose(fopen(path, "r")); add(); unlock(); }

static int ends[2];

static void looks(int number) { close(open(path, O_RDONLY)); write(ends[1], "x", number == SIGALRM); }

/* It waits in a read, during which the handler closes another descriptor of the locked file. */
static void closes_in_handler(void)
{
    char byte;
    pipe(ends);
    signal(SIGALRM, looks);
    lock();
    ualarm(2000, 0);
    while (read(ends[0], &byte, 1) != 1) {}
    add();
    unlock();
    close(ends[0]);
    close(ends[1]);
}

static void reads_first(void)
{
    uint64_t value = load_at(0);
    lock();
    store_at(0, value + 1);
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
    lock();
    uint64_t value = load_at(0);
    unlock();
    store_at(0, value + 1);
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
static void reader_without(void) { if (worker) load_at(0); else plain(); }

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

static void made_exclusive(void) { flock(file, LOCK_SH); load_at(0); flock(file, LOCK_EX); add(); flock(file, LOCK_UN); }
static void unlocks_nothing(void) { plain(); unlock(); }
static void killed_inside(void) { lock(); add(); kill(getpid(), SIGKILL); }

#define NAMED(name) {#name, name}
static const struct { const char *name; void (*work)(void); } programs[] = {
    NAMED(plain), NAMED(open_description), NAMED(whole), NAMED(other_byte), NAMED(neighbours), NAMED(readers), NAMED(made_shared),
    NAMED(closed_to_unlock), NAMED(lock_file), NAMED(beside), NAMED(child_waited_for), NAMED(stream_flushed),
    NAMED(appended), NAMED(inode_checked), NAMED(semaphore), NAMED(tried_again),
    NAMED(emptied_lock_file), NAMED(shared_by_workers), NAMED(by_system), NAMED(signalled),
    NAMED(locks_after_exec), NAMED(forgets_after_exec), NAMED(closes_in_handler),
    NAMED(no_lock), NAMED(other_ranges), NAMED(past_its_range), NAMED(closes_another), NAMED(closes_a_copy),
    NAMED(closes_a_stream), NAMED(reads_first), NAMED(child_works), NAMED(writes_after), NAMED(stream_late),
    NAMED(writes_shared), NAMED(two_kinds), NAMED(reader_without), NAMED(locked_twice), NAMED(opposite_order),
    NAMED(replaced), NAMED(updates_replaced), NAMED(emptied_first), NAMED(went_on), NAMED(unlocked_by_child), NAMED(kept_by_child),
    NAMED(cut_below), NAMED(in_pieces), NAMED(never_unlocks),
    NAMED(atomic_counter), NAMED(spin_lock), NAMED(handed_over), NAMED(mutex_inside), NAMED(strings_beside), NAMED(copied),
    NAMED(written_from), NAMED(mapped_anew), NAMED(copied_late), NAMED(written_without), NAMED(spin_lock_forgotten),
    NAMED(mutex_forgotten), NAMED(torn_string),
    NAMED(synced), NAMED(synced_late), NAMED(synced_sometime),
    NAMED(made_exclusive), NAMED(unlocks_nothing), NAMED(killed_inside),
};

int main(int count, char **words)
{
    if (count < 4 || (file = open(path = words[2], O_RDWR)) < 0)
        return 2;
    worker = atoi(words[3]);
    if (!strncmp(words[1], "mapped:", 7)) {
        memory = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        words[1] += 7;
    }
    for (size_t k = 0; k < sizeof programs / sizeof *programs; k++)
        if (!strcmp(programs[k].name, words[1])) {
            for (int round = 0, rounds = count > 4 ? atoi(words[4]) : ROUNDS; round < rounds; round++)
                programs[k].work();
            return 0;
        }
    return 2;
}
