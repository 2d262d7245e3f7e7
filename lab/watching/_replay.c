/* Make two calls of two processes come in one order: each is held at its call until the other allows it to go on.
   `lab watch --replay` maps one file into both, and says in it which calls; lab/watching/replay.py writes and reads it. */

#include "_watch.h"

enum { NAME = 64 };

/* One of the two calls: the number of it among the calls of its kind, on the file, of its process. */
struct side {
    char who[NAME];
    uint32_t kind, number;
    _Atomic uint32_t came, passed;
};

struct replay {
    char path[1024];
    uint32_t limit_ms;
    _Atomic uint32_t given_up;
    struct side sides[2]; /* the first is to pass before the second */
};

char who[NAME];
unsigned char is_replayed[FILES];

static struct replay *replay;
static _Atomic uint32_t counts[2];
static struct side *held_at;
static struct event *held;

void prepare_replay(void)
{
    const char *copy = getenv("LAB_COPY"), *path = getenv("LAB_WATCH_REPLAY");
    const char *number = copy ? strchr(copy, ':') : NULL;
    if (number && atol(copy) == getpid()) /* else it is the variable of a parent, which has executed this program */
        snprintf(who, sizeof who, "%s", number + 1);
    int file = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (file < 0)
        return;
    void *at = (void *)syscall(SYS_mmap, NULL, sizeof *replay, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    syscall(SYS_close, file);
    replay = at == MAP_FAILED ? NULL : at;
}

/* A child is named after its parent, and after how many children that had before it. */
void name_child(int number)
{
    size_t length = strlen(who), more = length ? (size_t)snprintf(who + length, sizeof who - length, ".%d", number) : 0;
    if (length + more >= sizeof who)
        *who = 0; /* it has no name then, and is not held */
    atomic_store(&counts[0], 0);
    atomic_store(&counts[1], 0);
    held_at = NULL, held = NULL;
}

void write_who(void)
{
    char line[NAME + 8];
    write_text(line, (size_t)snprintf(line, sizeof line, "who %s\n", who));
}

void replay_file(uint32_t file, const char *path) { is_replayed[file] = replay && !strcmp(path, replay->path); }

static void wait_for(_Atomic uint32_t *word)
{
    static const struct timespec pause = {0, 200000};
    uint64_t until = now() + replay->limit_ms * (uint64_t)1000000;
    while (!atomic_load(word) && !atomic_load(&replay->given_up)) {
        if (now() > until)
            atomic_store(&replay->given_up, 1);
        syscall(SYS_nanosleep, &pause, NULL);
    }
}

/* Wait where this is one of the two calls. */
void replay_before(enum kind kind)
{
    for (int k = 0; k < 2; k++) {
        struct side *side = &replay->sides[k];
        if (side->kind == kind && !strcmp(side->who, who) && atomic_fetch_add(&counts[k], 1) + 1 == side->number) {
            int error = errno;
            if (!atomic_load(&replay->given_up)) /* else too late */
                atomic_store(&side->came, 1);
            wait_for(k ? &replay->sides[0].passed : &replay->sides[1].came);
            held_at = side;
            errno = error;
        }
    }
}

/* The event of a call that was held, until it has returned. */
void replay_event(struct event *event)
{
    if (held_at && !held)
        held = event;
}

void replay_after(struct event *event)
{
    if (held && event == held)
        atomic_store(&held_at->passed, 1);
}
