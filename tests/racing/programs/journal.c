/* Move 1 from one account to another, under a lock: journal FILE ROUNDS START MODE.

   The file has the two accounts, the two old values, and a flag that says that these count; all of 8 bytes. The first
   letter of MODE says what goes wrong when a copy is killed: r(ight) nothing; h(alf): there is no journal; s(tays): the
   lock is a file, which stays. START is a FIFO to be read to its end, or "-".

   journal FILE recover [MODE] undoes what is half done; MODE says how recovery itself goes wrong. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { A, B, OLD_A, OLD_B, VALID };

static int file;
static char lock_file[4096];
static int by_file;

static int64_t load(int place)
{
    int64_t value = 0;

    if (pread(file, &value, 8, 8 * place) < 0)
        exit(3);
    return value;
}

static void store(int place, int64_t value)
{
    if (pwrite(file, &value, 8, 8 * place) != 8)
        exit(3);
}

static void hold(int type)
{
    struct flock range = {.l_type = type, .l_whence = SEEK_SET};

    if (!by_file) {
        if (fcntl(file, F_SETLKW, &range) < 0)
            exit(4);
    } else if (type == F_UNLCK) {
        unlink(lock_file);
    } else {
        int made;

        while ((made = open(lock_file, O_CREAT | O_EXCL | O_WRONLY, 0600)) < 0)
            usleep(200);
        close(made);
    }
}

static void undo(void)
{
    if (!load(VALID))
        return;
    store(A, load(OLD_A));
    store(B, load(OLD_B));
    store(VALID, 0);
}

static int recover(const char *mode)
{
    switch (mode[0]) {
    case 'f':
        fprintf(stderr, "first line\nno journal here\n");
        return 7;
    case 'h':
        sleep(600);
        return 0;
    case 'k':
        raise(SIGKILL);
        return 0;
    default:
        hold(F_WRLCK);
        undo();
        hold(F_UNLCK);
        return 0;
    }
}

int main(int count, char **words)
{
    if (count < 3)
        return 2;
    file = open(words[1], O_RDWR);
    if (file < 0)
        return 2;
    snprintf(lock_file, sizeof lock_file, "%s.lock", words[1]);
    if (strcmp(words[2], "recover") == 0)
        return recover(count > 3 ? words[3] : "");

    const char *start = words[3], mode = words[4][0];

    by_file = mode == 's';
    if (start[0] != '-') {
        int fifo = open(start, O_RDONLY);
        char byte;

        while (read(fifo, &byte, 1) > 0)
            ;
    }
    for (long rounds = atol(words[2]); rounds > 0; rounds--) {
        hold(F_WRLCK);
        if (mode != 'h')
            undo();
        int64_t a = load(A), b = load(B);

        if (mode != 'h') {
            store(OLD_A, a);
            store(OLD_B, b);
            store(VALID, 1);
        }
        store(A, a - 1);
        store(B, b + 1);
        if (mode != 'h')
            store(VALID, 0);
        hold(F_UNLCK);
    }
    return 0;
}
