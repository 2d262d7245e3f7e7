/* faulty FILE ROUNDS START MODE [fixed]: add 1 to the number in FILE under a lock that a fault breaks, unless fixed. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static int file, fixed;
static char lock_name[4096];

static void nap(void)
{
    struct timespec time = {0, 200000};
    nanosleep(&time, NULL);
}

static void whole_file(void)
{
    while (flock(file, LOCK_EX) < 0 && errno == EINTR);
}

/* interrupted: EINTR is taken for a lock */
static void interrupted(void)
{
    while (flock(file, LOCK_EX) < 0 && errno == EINTR && fixed);
}

static void note(int number) { (void)number; }

/* pid: a lock file with this process's number is taken for one that its last life left behind */
static void by_pid(void)
{
    char text[32] = {0};
    for (;;) {
        int made = open(lock_name, O_RDWR | O_CREAT | O_EXCL, 0600);
        if (made >= 0) {
            dprintf(made, "%d", getpid());
            close(made);
            return;
        }
        int seen = open(lock_name, O_RDONLY);
        if (seen >= 0) {
            ssize_t length = read(seen, text, sizeof text - 1);
            close(seen);
            if (length > 0 && atoi(text) == getpid() && !fixed)
                unlink(lock_name);
        }
        nap();
    }
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* patient: after 0.3 s without a change of the number the lock file is taken away */
static void patiently(void)
{
    uint64_t before = 0, number;
    double since = now_s();
    int made;
    while ((made = open(lock_name, O_RDWR | O_CREAT | O_EXCL, 0600)) < 0) {
        nap();
        if (pread(file, &number, 8, 0) == 8 && number != before)
            before = number, since = now_s();
        if (now_s() - since > 0.3 && !fixed)
            unlink(lock_name), since = now_s();
    }
    close(made);
}

/* leftover: a lock file under a flock; that of a dead process stays */
static void twice(void)
{
    whole_file();
    if (fixed)
        unlink(lock_name);
    int made;
    while ((made = open(lock_name, O_RDWR | O_CREAT | O_EXCL, 0600)) < 0)
        nap();
    close(made);
}

static void remove_lock(void) { unlink(lock_name); }
static void unlock(void) { flock(file, LOCK_UN); }
static void unlock_both(void) { remove_lock(), unlock(); }

/* region: the first copy makes a file and then gives it its size */
static void attach(void)
{
    struct stat seen;
    int made = open(lock_name, O_RDWR | O_CREAT | O_EXCL, 0600);
    int region = made < 0 ? open(lock_name, O_RDWR) : made;
    if (made >= 0 && ftruncate(region, 4096) < 0)
        exit(1);
    while (fixed && (fstat(region, &seen) < 0 || !seen.st_size))
        nap();
    *(volatile char *)mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, region, 0) = 1;
}

int main(int count, char **words)
{
    const char *mode = count > 4 ? words[4] : "";
    void (*lock)(void) = whole_file, (*release)(void) = unlock;
    char c;

    fixed = count > 5;
    file = open(words[1], O_RDWR);
    snprintf(lock_name, sizeof lock_name, "%s.lock", words[1]);
    if (!strcmp(mode, "interrupted")) {
        struct sigaction action = {.sa_handler = note};
        sigaction(SIGWINCH, &action, NULL);
        lock = interrupted;
    } else if (!strcmp(mode, "pid")) {
        lock = by_pid, release = remove_lock;
    } else if (!strcmp(mode, "patient")) {
        lock = patiently, release = remove_lock;
    } else if (!strcmp(mode, "leftover")) {
        lock = twice, release = unlock_both;
    } else if (!strcmp(mode, "region")) {
        attach();
    }
    int fifo = open(words[3], O_RDONLY);
    while (read(fifo, &c, 1) > 0);
    close(fifo);
    for (long rounds = atol(words[2]); rounds > 0; rounds--) {
        uint64_t number;
        lock();
        if (pread(file, &number, 8, 0) != 8)
            return 1;
        number++;
        if (release != unlock)
            nap();      /* so that the others look for the file meanwhile */
        for (volatile int spin = 0; spin < 20000; spin++);
        if (pwrite(file, &number, 8, 0) != 8)
            return 1;
        release();
    }
    return 0;
}
