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

static void ordered(enum kind kind, uint32_t file, int64_t offset, uint64_t begun)
{
    boundary(0);
    struct event *event = file == NOT_CHOSEN ? NULL : new_event(kind, begun);
    if (event)
        event->file = file, event->start = offset, event->end = now();
}

static void synchronized(enum kind kind, const void *address, uint64_t begun)
{
    int error = errno;
    int64_t offset = 0;
    inside++;
    uint32_t file = place_of(address, &offset);
    ordered(kind, file, offset, begun);
    inside--;
    errno = error;
}

/* What the program says itself of its order (lab_watch.h, annotations.py): all that has the name is one place, which
   stands as a file on a device that there is not. The inode is FNV-1a of the name (Fowler, Noll, Vo). */
PUBLIC void lab_watch_order(int releases, const char *name)
{
    if (!recording())
        return;
    int error = errno;
    uint64_t begun = now(), hash = 14695981039346656037u;
    char path[200];
    inside++;
    for (const unsigned char *at = (const unsigned char *)name; *at; at++)
        hash = (hash ^ *at) * 1099511628211u;
    struct statx its = {.stx_ino = hash, .stx_dev_major = UINT32_MAX};
    snprintf(path, sizeof path, "order %s", name);
    lock_table();
    uint32_t file = file_of(&its, path, CHANNEL);
    unlock_table();
    ordered(releases ? LEAVE : ENTER, file, 0, begun);
    inside--;
    errno = error;
}

/* Where accesses to mappings are watched, the C library works on the alias: the kernel would refuse a closed page. */

/* The bit of a mutex that other processes may take (sysdeps/nptl/bits/struct_mutex.h, __kind; glibc keeps its place). */
static int is_shared(const pthread_mutex_t *mutex) { return mutex->__data.__kind & 128; }

#define MUTEX(name, ...) PUBLIC int name(pthread_mutex_t *mutex __VA_OPT__(, ) __VA_ARGS__) { pthread_mutex_t *its = alias_of(mutex);
#define ENTERED if ((!result || result == EOWNERDEAD) && recording() && is_shared(its)) synchronized(ENTER, mutex, begun); return result; }
MUTEX(pthread_mutex_lock) REAL(int, pthread_mutex_lock, pthread_mutex_t *) uint64_t begun = now(); int result = real(its); ENTERED
MUTEX(pthread_mutex_trylock) REAL(int, pthread_mutex_trylock, pthread_mutex_t *) uint64_t begun = now(); int result = real(its); ENTERED
MUTEX(pthread_mutex_timedlock, const struct timespec *until) REAL(int, pthread_mutex_timedlock, pthread_mutex_t *, const struct timespec *) uint64_t begun = now(); int result = real(its, until); ENTERED
MUTEX(pthread_mutex_clocklock, clockid_t clock, const struct timespec *until) REAL(int, pthread_mutex_clocklock, pthread_mutex_t *, clockid_t, const struct timespec *) uint64_t begun = now(); int result = real(its, clock, until); ENTERED
MUTEX(pthread_mutex_unlock) REAL(int, pthread_mutex_unlock, pthread_mutex_t *) if (recording() && is_shared(its)) synchronized(LEAVE, mutex, now()); return real(its); }
#define PASSED(name, type) PUBLIC int name(type *at) { REAL(int, name, type *) return real(alias_of(at)); }
typedef void (*once_work)(void);
#define PASSED_2(name, type, other) PUBLIC int name(type *at, other value) { REAL(int, name, type *, other) return real(alias_of(at), value); }
PASSED(pthread_mutex_destroy, pthread_mutex_t) PASSED(pthread_mutex_consistent, pthread_mutex_t) PASSED_2(pthread_mutex_init, pthread_mutex_t, const pthread_mutexattr_t *)

/* A wait for a condition gives the mutex up and takes it again. The functions have had older forms under the same names. */
#define REAL_NOW(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) { void *found = dlvsym(RTLD_NEXT, #name, "GLIBC_2.3.2"); if (!found) found = dlsym(RTLD_NEXT, #name); memcpy(&real, &found, sizeof real); }
#define WAITS_ON(name, parameters, arguments, ...) \
    PUBLIC int name parameters { \
        REAL_NOW(int, name, __VA_ARGS__) \
        pthread_mutex_t *its = alias_of(mutex); \
        int shared = recording() && is_shared(its); \
        if (shared) synchronized(LEAVE, mutex, now()); \
        int result = real arguments; \
        if (shared) synchronized(ENTER, mutex, now()); \
        return result; }
WAITS_ON(pthread_cond_wait, (pthread_cond_t *at, pthread_mutex_t *mutex), (alias_of(at), its), pthread_cond_t *, pthread_mutex_t *)
WAITS_ON(pthread_cond_timedwait, (pthread_cond_t *at, pthread_mutex_t *mutex, const struct timespec *until), (alias_of(at), its, until), pthread_cond_t *, pthread_mutex_t *, const struct timespec *)
WAITS_ON(pthread_cond_clockwait, (pthread_cond_t *at, pthread_mutex_t *mutex, clockid_t clock, const struct timespec *until), (alias_of(at), its, clock, until), pthread_cond_t *, pthread_mutex_t *, clockid_t, const struct timespec *)
#define PASSED_NOW(name, type) PUBLIC int name(type *at) { REAL_NOW(int, name, type *) return real(alias_of(at)); }
PASSED_NOW(pthread_cond_signal, pthread_cond_t) PASSED_NOW(pthread_cond_broadcast, pthread_cond_t) PASSED_NOW(pthread_cond_destroy, pthread_cond_t)
PUBLIC int pthread_cond_init(pthread_cond_t *at, const pthread_condattr_t *how) { REAL_NOW(int, pthread_cond_init, pthread_cond_t *, const pthread_condattr_t *) return real(alias_of(at), how); }

static int is_shared_rwlock(const pthread_rwlock_t *lock) { return lock->__data.__shared; }

#define LOCKS_RW(name) PUBLIC int name(pthread_rwlock_t *lock) { REAL(int, name, pthread_rwlock_t *) pthread_rwlock_t *its = alias_of(lock); uint64_t begun = now(); int result = real(its); if (!result && recording() && is_shared_rwlock(its)) synchronized(ENTER, lock, begun); return result; }
#define LOCKS_RW_UNTIL(name) PUBLIC int name(pthread_rwlock_t *lock, const struct timespec *until) { REAL(int, name, pthread_rwlock_t *, const struct timespec *) pthread_rwlock_t *its = alias_of(lock); uint64_t begun = now(); int result = real(its, until); if (!result && recording() && is_shared_rwlock(its)) synchronized(ENTER, lock, begun); return result; }
LOCKS_RW(pthread_rwlock_rdlock) LOCKS_RW(pthread_rwlock_wrlock) LOCKS_RW(pthread_rwlock_tryrdlock) LOCKS_RW(pthread_rwlock_trywrlock)
LOCKS_RW_UNTIL(pthread_rwlock_timedrdlock) LOCKS_RW_UNTIL(pthread_rwlock_timedwrlock)
#define LOCKS_RW_BY(name) PUBLIC int name(pthread_rwlock_t *lock, clockid_t clock, const struct timespec *until) { REAL(int, name, pthread_rwlock_t *, clockid_t, const struct timespec *) pthread_rwlock_t *its = alias_of(lock); uint64_t begun = now(); int result = real(its, clock, until); if (!result && recording() && is_shared_rwlock(its)) synchronized(ENTER, lock, begun); return result; }
LOCKS_RW_BY(pthread_rwlock_clockrdlock) LOCKS_RW_BY(pthread_rwlock_clockwrlock)
PUBLIC int pthread_rwlock_unlock(pthread_rwlock_t *lock) { REAL(int, pthread_rwlock_unlock, pthread_rwlock_t *) pthread_rwlock_t *its = alias_of(lock); if (recording() && is_shared_rwlock(its)) synchronized(LEAVE, lock, now()); return real(its); }
PASSED(pthread_rwlock_destroy, pthread_rwlock_t) PASSED_2(pthread_rwlock_init, pthread_rwlock_t, const pthread_rwlockattr_t *)

/* The locks of C11 (threads.h) are those of POSIX inside the C library, and no other process can take them. */
PASSED(mtx_lock, void) PASSED(mtx_trylock, void) PASSED(mtx_unlock, void) PASSED_2(mtx_init, void, int) PASSED_2(mtx_timedlock, void, const struct timespec *)
PASSED(cnd_init, void) PASSED(cnd_signal, void) PASSED(cnd_broadcast, void)
#define ENDS(name) PUBLIC void name(void *at) { REAL(void, name, void *) real(alias_of(at)); }
ENDS(mtx_destroy) ENDS(cnd_destroy)
PUBLIC int cnd_wait(void *at, void *mutex) { REAL(int, cnd_wait, void *, void *) return real(alias_of(at), alias_of(mutex)); }
PUBLIC int cnd_timedwait(void *at, void *mutex, const struct timespec *until) { REAL(int, cnd_timedwait, void *, void *, const struct timespec *) return real(alias_of(at), alias_of(mutex), until); }
PASSED_2(pthread_once, pthread_once_t, once_work)
PUBLIC void call_once(void *at, once_work work) { REAL(void, call_once, void *, once_work) real(alias_of(at), work); }

PUBLIC int pthread_barrier_wait(pthread_barrier_t *barrier)
{
    REAL(int, pthread_barrier_wait, pthread_barrier_t *)
    if (recording())
        synchronized(LEAVE, barrier, now());
    int result = real(alias_of(barrier));
    if (recording())
        synchronized(ENTER, barrier, now());
    return result;
}
PUBLIC int pthread_barrier_init(pthread_barrier_t *at, const pthread_barrierattr_t *how, unsigned count) { REAL(int, pthread_barrier_init, pthread_barrier_t *, const pthread_barrierattr_t *, unsigned) return real(alias_of(at), how, count); }
PASSED(pthread_barrier_destroy, pthread_barrier_t)

#define WAITS_FOR(name, ...) { REAL(int, name, __VA_ARGS__) uint64_t begun = now(); int result = real
#define GOT(semaphore) if (!result && recording()) synchronized(ENTER, semaphore, begun); return result; }
PUBLIC int sem_wait(sem_t *semaphore) WAITS_FOR(sem_wait, sem_t *)(alias_of(semaphore)); GOT(semaphore)
PUBLIC int sem_trywait(sem_t *semaphore) WAITS_FOR(sem_trywait, sem_t *)(alias_of(semaphore)); GOT(semaphore)
PUBLIC int sem_timedwait(sem_t *semaphore, const struct timespec *until) WAITS_FOR(sem_timedwait, sem_t *, const struct timespec *)(alias_of(semaphore), until); GOT(semaphore)
PUBLIC int sem_clockwait(sem_t *semaphore, clockid_t clock, const struct timespec *until) WAITS_FOR(sem_clockwait, sem_t *, clockid_t, const struct timespec *)(alias_of(semaphore), clock, until); GOT(semaphore)
PUBLIC int sem_post(sem_t *semaphore)
{
    REAL(int, sem_post, sem_t *)
    if (recording())
        synchronized(LEAVE, semaphore, now());
    return real(alias_of(semaphore));
}
PUBLIC int sem_init(sem_t *at, int shared, unsigned value) { REAL(int, sem_init, sem_t *, int, unsigned) return real(alias_of(at), shared, value); }
PUBLIC int sem_getvalue(sem_t *at, int *value) { REAL(int, sem_getvalue, sem_t *, int *) return real(alias_of(at), value); }
PASSED(sem_destroy, sem_t)

/* System calls by number: those that wait at an address, and those that read and write. */
PUBLIC long syscall(long number, ...)
{
    long its[6], result;
    va_list more;
    va_start(more, number);
    for (int k = 0; k < 6; k++)
        its[k] = va_arg(more, long);
    va_end(more);
    if (level == ACCESSES && !inside && mapping_count) {
        if (number == SYS_futex)
            its[0] = (long)alias_of((void *)its[0]), its[4] = (long)alias_of((void *)its[4]);
        else if (number == SYS_read || number == SYS_pread64 || number == SYS_write || number == SYS_pwrite64)
            its[1] = (long)for_kernel((void *)its[1], (size_t)its[2], number == SYS_read || number == SYS_pread64 ? STORE : LOAD, CALLER);
    }
#ifdef __x86_64__
    register long r10 __asm__("r10") = its[3], r8 __asm__("r8") = its[4], r9 __asm__("r9") = its[5];
    __asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(its[0]), "S"(its[1]), "d"(its[2]), "r"(r10), "r"(r8), "r"(r9) : "rcx", "r11", "memory");
    if (result < 0 && result > -4096) {
        errno = (int)-result;
        return -1;
    }
#else
    REAL(long, syscall, long, ...)
    result = real(number, its[0], its[1], its[2], its[3], its[4], its[5]);
#endif
    return result;
}
