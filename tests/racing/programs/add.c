/* Adds 1 to the 8-byte counter at the start of a file, so many times: a worker in C for `lab race --program`.

   add FILE WORKER ROUNDS [LOCK [START [INSIDE]]]

   LOCK: fcntl (F_SETLKW on the 8 bytes), flock (the whole file), or none. Between load and store it gives the processor
   away, or sleeps so many microseconds INSIDE. START is a FIFO: it is read to its end before the first addition. */

#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int move_lock(int file, const char *lock, int take)
{
    struct flock range = {.l_type = take ? F_WRLCK : F_UNLCK, .l_whence = SEEK_SET, .l_len = 8};

    if (!strcmp(lock, "fcntl"))
        return fcntl(file, F_SETLKW, &range);
    if (!strcmp(lock, "flock"))
        return flock(file, take ? LOCK_EX : LOCK_UN);
    return 0;
}

static void wait_for(const char *start)
{
    char none;
    int fifo = open(start, O_RDONLY);

    if (fifo < 0) {
        perror(start);
        exit(2);
    }
    while (read(fifo, &none, 1) > 0)
        ;
    close(fifo);
}

static int add_one(int file, const char *lock, unsigned inside)
{
    uint64_t value = 0;

    if (move_lock(file, lock, 1) < 0 || pread(file, &value, sizeof value, 0) < 0)
        return -1;
    value += 1;
    if (inside)
        usleep(inside);
    else
        sched_yield();
    if (pwrite(file, &value, sizeof value, 0) != sizeof value)
        return -1;
    return move_lock(file, lock, 0);
}

int main(int count, char **words)
{
    const char *lock = count > 4 ? words[4] : "fcntl";
    unsigned inside = count > 6 ? (unsigned)atol(words[6]) : 0;
    int file = count > 3 ? open(words[1], O_RDWR) : -1;

    if (file < 0) {
        perror(count > 3 ? words[1] : "usage: add FILE WORKER ROUNDS [LOCK [START [INSIDE]]]");
        return 2;
    }
    if (count > 5)
        wait_for(words[5]);
    for (long rounds = atol(words[3]); rounds > 0; rounds--)
        if (add_one(file, lock, inside) < 0) {
            perror("add");
            return 1;
        }
    return 0;
}
