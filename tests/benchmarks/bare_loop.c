/* The same loop as bare_loop.py in C: lock, add 1, unlock; prints pairs per second from the release on.
 * usage: bare_loop WORKERS ROUNDS FILE */

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void work(const char *path, long rounds)
{
    int file = open(path, O_RDWR);
    volatile uint64_t *value = mmap(NULL, sizeof *value, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET, .l_len = sizeof *value};
    struct flock unlock = {.l_type = F_UNLCK, .l_whence = SEEK_SET, .l_len = sizeof *value};
    for (long round = 0; round < rounds; round++) {
        fcntl(file, F_SETLKW, &lock);
        ++*value;
        fcntl(file, F_SETLKW, &unlock);
    }
}

int main(int count, char **arguments)
{
    if (count != 4)
        return 2;
    int workers = atoi(arguments[1]);
    long rounds = atol(arguments[2]);
    int barrier[2], ready[2];
    char byte = '.';
    double *ends = mmap(NULL, sizeof *ends * (size_t)workers, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (pipe(barrier) || pipe(ready))
        return 1;
    for (int worker = 0; worker < workers; worker++) {
        if (fork() == 0) {
            close(barrier[1]);
            if (write(ready[1], &byte, 1) != 1 || read(barrier[0], &byte, 1) != 0)
                _exit(1);
            work(arguments[3], rounds);
            ends[worker] = now();
            _exit(0);
        }
    }
    for (int worker = 0; worker < workers; worker++)
        if (read(ready[0], &byte, 1) != 1)
            return 1;
    double start = now(), end = start;
    close(barrier[1]);
    while (wait(NULL) > 0)
        continue;
    for (int worker = 0; worker < workers; worker++)
        end = ends[worker] > end ? ends[worker] : end;
    printf("%f\n", (double)workers * (double)rounds / (end - start));
    return 0;
}
