/* Locks in shared memory order what processes do, though they are no locks of files. */

#include "_watch.h"

static uint32_t place_of(const void *address, int64_t *offset)
{
    static __thread struct { const void *address; uint32_t file; int64_t offset; } last[16] __attribute__((tls_model("initial-exec")));
    unsigned at = ((uintptr_t)address >> 3) % 16;
    if (last[at].address == address)
        return *offset = last[at].offset, last[at].file;
    uint32_t file = NOT_CHOSEN;
    static char maps[1 << 16]; /* with the table; a signal handler may post to a semaphore, so nothing is allocated */
    lock_table();
    int list = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    long have = 0, more;
    while (list >= 0 && file == NOT_CHOSEN && (more = syscall(SYS_read, list, maps + have, sizeof maps - 1 - (size_t)have)) > 0) {
        char *line = maps, *end;
        maps[have += more] = 0;
        for (; (end = strchr(line, '\n')); line = end + 1) {
            unsigned long from, to, start, major, minor, inode;
            char modes[8];
            *end = 0;
            if (sscanf(line, "%lx-%lx %7s %lx %lx:%lx %lu", &from, &to, modes, &start, &major, &minor, &inode) == 7 &&
                from <= (uintptr_t)address && (uintptr_t)address < to && modes[3] == 's') {
                struct statx its = {.stx_ino = inode, .stx_dev_major = (uint32_t)major, .stx_dev_minor = (uint32_t)minor};
                file = file_of(&its, "shared memory", CHANNEL);
                *offset = (int64_t)(start + ((uintptr_t)address - from));
            }
        }
        have = (long)strlen(line);
        memmove(maps, line, (size_t)have);
    }
    if (list >= 0)
        syscall(SYS_close, list);
    unlock_table();
    last[at].address = address;
    last[at].file = file;
    last[at].offset = *offset;
    return file;
}

static void synchronized(enum kind kind, const void *address, uint64_t begun)
{
    int error = errno;
    int64_t offset = 0;
    inside++;
    uint32_t file = place_of(address, &offset);
    struct event *event = file == NOT_CHOSEN ? NULL : new_event(kind, begun);
    if (event)
        event->file = file, event->start = offset, event->end = now();
    inside--;
    errno = error;
}

/* The bit of a mutex that other processes may take (sysdeps/nptl/bits/struct_mutex.h, __kind; glibc keeps its place). */
static int is_shared(const pthread_mutex_t *mutex) { return mutex->__data.__kind & 128; }

#define LOCKS_MUTEX(name, ...) \
    { REAL(int, name, __VA_ARGS__) uint64_t begun = now(); int result = real
#define ENTERED(mutex) if ((!result || result == EOWNERDEAD) && recording() && is_shared(mutex)) synchronized(ENTER, mutex, begun); return result; }
PUBLIC int pthread_mutex_lock(pthread_mutex_t *mutex) LOCKS_MUTEX(pthread_mutex_lock, pthread_mutex_t *)(mutex); ENTERED(mutex)
PUBLIC int pthread_mutex_trylock(pthread_mutex_t *mutex) LOCKS_MUTEX(pthread_mutex_trylock, pthread_mutex_t *)(mutex); ENTERED(mutex)
PUBLIC int pthread_mutex_timedlock(pthread_mutex_t *mutex, const struct timespec *until) LOCKS_MUTEX(pthread_mutex_timedlock, pthread_mutex_t *, const struct timespec *)(mutex, until); ENTERED(mutex)
PUBLIC int pthread_mutex_unlock(pthread_mutex_t *mutex)
{
    REAL(int, pthread_mutex_unlock, pthread_mutex_t *)
    if (recording() && is_shared(mutex))
        synchronized(LEAVE, mutex, now());
    return real(mutex);
}

#define WAITS_FOR(name, ...) { REAL(int, name, __VA_ARGS__) uint64_t begun = now(); int result = real
#define GOT(semaphore) if (!result && recording()) synchronized(ENTER, semaphore, begun); return result; }
PUBLIC int sem_wait(sem_t *semaphore) WAITS_FOR(sem_wait, sem_t *)(semaphore); GOT(semaphore)
PUBLIC int sem_trywait(sem_t *semaphore) WAITS_FOR(sem_trywait, sem_t *)(semaphore); GOT(semaphore)
PUBLIC int sem_timedwait(sem_t *semaphore, const struct timespec *until) WAITS_FOR(sem_timedwait, sem_t *, const struct timespec *)(semaphore, until); GOT(semaphore)
PUBLIC int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) WAITS_FOR(sem_clockwait, sem_t *, clockid_t, const struct timespec *)(semaphore, clock, until); GOT(semaphore)
PUBLIC int sem_post(sem_t *semaphore)
{
    REAL(int, sem_post, sem_t *)
    if (recording())
        synchronized(LEAVE, semaphore, now());
    return real(semaphore);
}
