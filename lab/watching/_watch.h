/* Record what a program does to shared files. `lab watch` preloads this library into it (ld.so(8), LD_PRELOAD).

   Each process has a log of its own, mapped, so that it survives any end of the process: a header and one event for
   each call, with two stamps of CLOCK_MONOTONIC. The event is in the log before the call is made; a call that never
   returns has no second stamp. What has no fixed size (files, stacks, loaded code) is text, in a file beside the log.

   Nothing that the program sees changes: results and errno are those of the real functions. Where the log cannot grow
   recording ends, and the program goes on. No function here calls malloc but backtrace(3), which is called once before
   anything is recorded. `lab/watching/log.py` reads the logs, and says what each field means. */

#ifndef LAB_WATCH_H
#define LAB_WATCH_H

#define _GNU_SOURCE

#include <dlfcn.h>
#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <link.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PUBLIC __attribute__((visibility("default")))
#define CALLER __builtin_return_address(0), __builtin_frame_address(0)

enum kind {
    NOTHING, START, EXIT, FORK, EXEC, WAITED,
    OPEN, TAKEN, CLOSE, DUP, INHERITED,
    POSIX, OFD, FLOCKED,
    READ, WRITE, TRUNCATE,
    MAP, UNMAP,
    RENAME, UNLINK,
    RECEIVE, SEND,
    ENTER, LEAVE,
    LOAD, STORE, ATOMIC, OPENED, WRITTEN, CLOSED,
    SYNCED
};

enum { SHARED = 0, EXCLUSIVE = 1, RELEASED = 2, WAITS = 4, APPENDS = 8, ENDS_LINE = 16, SEEN = 32, UNDECODED = 64, STAYS = 128 };

struct event {
    uint64_t begin, end;
    int64_t start, length;
    uint32_t file, stack;
    int32_t fd, other, result, thread;
    uint16_t kind, flags;
    uint32_t reserved;
};

struct header {
    char magic[8];
    uint32_t version, event_size;
    int32_t pid, parent;
    uint64_t started, forked;
    _Atomic uint64_t count, lost;
    _Atomic uint32_t full;
    uint32_t level;
};

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14; an older one refuses it, and nothing is lost */
#endif

enum { VERSION = 1, FDS = 1 << 16, FILES = 1 << 14 };
enum { UNKNOWN = 0, NOT_CHOSEN = UINT32_MAX };
enum { REGULAR = 1, CHANNEL = 2 };

struct known { uint64_t device, inode; int64_t born; };

/* The log (_log.c). */
extern struct header *log_;
extern char folder[512], log_path[600], text_path[600];
extern atomic_flag table; /* of what the threads of a process share */
extern __thread int inside __attribute__((tls_model("initial-exec")));
extern __thread int thread_id __attribute__((tls_model("initial-exec")));
int grow(int create);
void leave_log(void);
void write_text(const char *text, size_t length);
void plain(char *text);
struct event *new_event(enum kind kind, uint64_t begin);
struct event *before(enum kind kind, int fd, uint32_t file, void *caller, void *frame);
struct event *before_range(enum kind kind, int fd, uint32_t file, int64_t start, int64_t length, int flags, void *caller, void *frame);
void after(struct event *event, int64_t result);

static inline uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

static inline void lock_table(void) { while (atomic_flag_test_and_set_explicit(&table, memory_order_acquire)) sched_yield(); }
static inline void unlock_table(void) { atomic_flag_clear_explicit(&table, memory_order_release); }
static inline int recording(void) { return log_ && !inside; }

/* A call may wait, and handlers of the program run meanwhile, whose calls are recorded as others are. One that leaves the
   call for good (longjmp, cancellation) leaves nothing behind. */
#define WAITING_IN(call) ({ inside--; __typeof__(call) result_ = (call); inside++; result_; })

/* Replay (_replay.c). */
extern char who[64];
extern unsigned char is_replayed[];
void prepare_replay(void);
void name_child(int number);
void write_who(void);
void replay_file(uint32_t file, const char *path);
void replay_before(enum kind kind);
void replay_event(struct event *event);
void replay_after(struct event *event);

/* Files (_files.c). */
extern const char *globs, *outputs;
extern struct known files[FILES];
extern unsigned char file_type[FILES];
extern uint32_t file_count;
extern _Atomic uint32_t fd_file[FDS];
extern unsigned char fd_appends[FDS];
extern char whole[4200]; /* the caller has the table */
/* Known to be nobody's shared file: one load and a branch, in calls that say nothing then. */
static inline int is_left_alone(int fd) { return (unsigned)fd < FDS && atomic_load_explicit(&fd_file[fd], memory_order_relaxed) == NOT_CHOSEN; }
int about(int at, const char *path, int flags, struct statx *found);
uint32_t file_of(const struct statx *about, const char *path, int type);
uint32_t file_at(int fd);
uint32_t file_named(int at, const char *path, int follow);
void forget_fd(int fd);
void make_whole(int at, const char *path);

/* Stacks (_stacks.c). */
enum { DEPTH = 12 };
void prepare_stacks(void);
void forget_stacks(void);
void write_maps(void);
uint32_t stack_of(void *caller, void *frame);
uint32_t stack_of_access(void *at, void *frame);
uint32_t intern(uint64_t hash, int *is_new);
uint32_t stack_known(uint64_t hash);
enum { TRACEBACK = -4711 }; /* a descriptor that there cannot be */
extern __thread char takes_traceback __attribute__((tls_model("initial-exec")));
void take_traceback(const char *from, size_t size);
void write_frames(const char *language, uint32_t id, char *line, int head, int length);
static inline uint64_t mixed(uint64_t hash, uint64_t value) { return ((hash ^ value) * 0x9e3779b97f4a7c15u) ^ (hash >> 29); }

/* Lines of Java (_java.c). */
void find_java(void);
uint32_t java_stack(const void *caller);

/* Mappings (_mappings.c), and how closely they are watched. */
enum { CALLS, PAGES, ACCESSES };
enum { MAPPINGS = 1024, PAGE = 4096 };
extern int level;

struct page {
    uint32_t epoch;            /* in which it was touched last */
    uint16_t spent, allowance; /* accesses in this epoch that were seen one by one, and how many may be */
    unsigned char open, fresh, atomic, quiet; /* quiet: how many epochs told nothing new, one after the other */
};

/* Its pages are closed to the program: each access is made on the alias, which is another mapping of the same bytes. */
struct mapping {
    char *_Atomic at;
    size_t size, length; /* in whole pages, and as it was asked for */
    int64_t offset;
    uint32_t file;
    int protection;
    char *alias;
    struct page *pages;
    int watched; /* at level pages: the kernel tells which were written */
    int whole, is_cut; /* all its pages are open; it shares its table of pages with others */
    char *leaves; /* its address, while it is being unmapped */
};

extern struct mapping mappings[MAPPINGS];
extern _Atomic int mapping_count; /* places that were ever used */
struct mapping *mapping_at(const void *address);

/* Accesses to mappings (_accesses.c). */
void prepare_accesses(void);
void watch_mapping(struct mapping *map);
void boundary(uint32_t stack);
void *for_kernel(const void *at, size_t size, enum kind kind, void *caller, void *frame);
void *alias_of(const void *at);
const char *text_for_kernel(const char *text, void *caller, void *frame);
char *const *words_for_kernel(char *const *words, char **copy, int count, void *caller, void *frame);
void passed(int64_t count);
void has_read(const void *at, size_t size, void *caller, void *frame);
void leave_slot(void *context);
int open_whole(struct mapping *map);
int close_whole(struct mapping *map);

/* Pages that were written (_pages.c). */
void prepare_pages(void);
int watch_pages(struct mapping *map);
void pages_of_child(void);
void written_pages(uint32_t stack);
int is_own_descriptor(int fd);

/* Signals (_signals.c). */
void prepare_signals(void (*handler)(int, siginfo_t *, void *));
void pass_on(int number, siginfo_t *info, void *context);

/* Wrappers. */
#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) { void *found = dlsym(RTLD_NEXT, #name); memcpy(&real, &found, sizeof real); }

/* What the kernel reads (LENT, TEXT) and writes (LENT with STORE) where the program says: it may be in a closed page. */
#define LENT(at, size, kind) ((__typeof__(at))(level == ACCESSES && !inside ? for_kernel(at, size, kind, CALLER) : (void *)(at)))
#define TEXT(text) (level == ACCESSES && !inside ? text_for_kernel(text, CALLER) : (text))

int opened(int fd, int flags, uint64_t begun, const char *path, int at, void *caller, void *frame);
struct event *closing(int fd, void *caller, void *frame);
void exits(void);

#endif
