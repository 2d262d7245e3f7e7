/* Mappings of files: where they are, what becomes of them, and, where accesses are watched, their aliases. */

#include "_watch.h"

int level;
struct mapping mappings[MAPPINGS];
_Atomic int mapping_count;

static _Atomic uintptr_t lowest = UINTPTR_MAX, highest; /* where mappings ever were: stacks and the heap are elsewhere */

struct mapping *mapping_at(const void *address)
{
    if ((uintptr_t)address < atomic_load_explicit(&lowest, memory_order_relaxed) || (uintptr_t)address >= atomic_load_explicit(&highest, memory_order_relaxed))
        return NULL;
    int count = atomic_load_explicit(&mapping_count, memory_order_acquire);
    for (int k = 0; k < count; k++)
        if (mappings[k].at && (uintptr_t)address - (uintptr_t)mappings[k].at < mappings[k].size)
            return &mappings[k];
    return NULL;
}

/* Others look at the table while it changes: a mapping has its address last. */
static struct mapping *add_mapping(struct mapping its)
{
    char *at = its.at;
    its.at = its.leaves = NULL;
    for (int k = 0; k < MAPPINGS; k++)
        if (!mappings[k].at && !mappings[k].leaves) {
            if ((uintptr_t)at < lowest)
                lowest = (uintptr_t)at;
            if ((uintptr_t)at + its.size > highest)
                highest = (uintptr_t)at + its.size;
            mappings[k] = its;
            mappings[k].at = at;
            if (k >= mapping_count)
                atomic_store_explicit(&mapping_count, k + 1, memory_order_release);
            return &mappings[k];
        }
    return NULL;
}

static struct mapping *new_mapping(char *at, size_t length, uint32_t file, int64_t offset, int protection)
{
    return add_mapping((struct mapping){.at = at, .size = (length + PAGE - 1) / PAGE * PAGE, .length = length, .offset = offset, .file = file, .protection = protection});
}

/* Cut the mapping that an address lies in, so that one begins there. Without room for both it is watched no more. */
static void cut_at(char *at)
{
    static const char full[] = "limit a mapping that was changed in parts, since the process had more than 1,024 of them\n";
    struct mapping *map = mapping_at(at);
    if (!map || map->at == at)
        return;
    size_t first = (size_t)(at - map->at);
    struct mapping rest = *map;
    rest.at = at;
    rest.size -= first;
    rest.length = map->length > first ? map->length - first : 0;
    rest.offset += (int64_t)first;
    rest.alias = map->alias ? map->alias + first : NULL;
    rest.pages = map->pages ? map->pages + first / PAGE : NULL;
    rest.is_cut = map->is_cut = 1;
    if (!add_mapping(rest)) {
        if (map->alias)
            open_whole(map);
        map->at = NULL; /* its alias stays: other threads may be about to use it */
        write_text(full, sizeof full - 1);
        return;
    }
    map->size = first;
    if (map->length > first)
        map->length = first;
}

/* These have signals blocked: a handler may need the table. */
static void hold_table(sigset_t *kept)
{
    sigset_t all;
    sigfillset(&all);
    sigdelset(&all, SIGSEGV);
    sigdelset(&all, SIGBUS);
    syscall(SYS_rt_sigprocmask, SIG_BLOCK, &all, kept, 8);
    lock_table();
}

static void release_table(const sigset_t *kept)
{
    unlock_table();
    syscall(SYS_rt_sigprocmask, SIG_SETMASK, kept, NULL, 8);
}

/* Take what is mapped in a range out of the table, before it is unmapped: then another thread may get the addresses. */
static void leave_range(char *at, size_t size)
{
    char *end = at + (size + PAGE - 1) / PAGE * PAGE;
    cut_at(at);
    cut_at(end);
    for (int k = 0; k < mapping_count; k++)
        if (mappings[k].at && mappings[k].at >= at && mappings[k].at < end) {
            mappings[k].leaves = mappings[k].at;
            mappings[k].at = NULL;
        }
}

/* It was unmapped, or is still there. */
static void left(int is_gone)
{
    for (int k = 0; k < mapping_count; k++) {
        struct mapping *map = &mappings[k];
        if (!map->leaves)
            continue;
        if (!is_gone)
            map->at = map->leaves;
        else if (map->alias)
            syscall(SYS_munmap, map->alias, map->size);
        if (is_gone && map->pages && !map->is_cut)
            syscall(SYS_munmap, map->pages, map->size / PAGE * sizeof *map->pages);
        map->leaves = NULL;
    }
}

static void forget_mappings(char *at, size_t size)
{
    leave_range(at, size);
    left(1);
}

static int is_mapped(const char *at, size_t size)
{
    for (int k = 0; k < mapping_count; k++)
        if (mappings[k].at && at < mappings[k].at + mappings[k].size && mappings[k].at < at + size)
            return 1;
    return 0;
}

static void note_unmapped(char *at, size_t size, void *caller, void *frame)
{
    for (int k = 0; k < mapping_count; k++)
        if (mappings[k].at && mappings[k].at >= at && mappings[k].at < at + size) {
            struct event *event = before(UNMAP, -1, mappings[k].file, caller, frame);
            if (event)
                event->start = mappings[k].offset, event->length = (int64_t)mappings[k].length, event->end = now();
        }
}

PUBLIC int munmap(void *at, size_t size)
{
    REAL(int, munmap, void *, size_t)
    if (!log_ || (uintptr_t)at % PAGE || !is_mapped(at, size))
        return real(at, size);
    sigset_t kept;
    if (!inside++)
        note_unmapped(at, size, CALLER);
    hold_table(&kept);
    leave_range(at, size);
    int result = real(at, size), error = errno;
    left(!result);
    release_table(&kept);
    inside--;
    errno = error;
    return result;
}

static void *mapped(void *(*real)(void *, size_t, int, int, int, off_t), void *at, size_t size, int protection, int flags, int fd, off_t offset, void *caller, void *frame)
{
    if (!recording() || ((flags & MAP_ANONYMOUS || fd < 0) && !(flags & MAP_FIXED && is_mapped(at, size))))
        return real(at, size, protection, flags, fd, offset);
    inside++;
    uint32_t file = flags & MAP_ANONYMOUS || fd < 0 ? NOT_CHOSEN : file_at(fd);
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before(MAP, fd, file, caller, frame);
    if (event) {
        event->start = offset;
        event->length = (int64_t)size;
        event->flags = protection & PROT_WRITE ? EXCLUSIVE : SHARED;
        event->other = flags;
    }
    sigset_t kept;
    int replaces = flags & MAP_FIXED && is_mapped(at, size);
    if (replaces)
        hold_table(&kept);
    void *result = real(at, size, protection, flags, fd, offset);
    int error = errno;
    if (result != MAP_FAILED) {
        if (!replaces)
            hold_table(&kept);
        else
            forget_mappings(result, size);
        if (event && flags & MAP_SHARED) {
            struct mapping *map = new_mapping(result, size, file, offset, protection);
            if (map) {
                watch_mapping(map);
                event->flags |= map->alias ? SEEN : 0;
            }
        }
    }
    if (replaces || result != MAP_FAILED)
        release_table(&kept);
    errno = error;
    after(event, result == MAP_FAILED ? -1 : 0);
    inside--;
    errno = error;
    return result;
}

PUBLIC void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) { REAL(void *, mmap, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }
PUBLIC void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) { REAL(void *, mmap64, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }

PUBLIC void *mremap(void *at, size_t old, size_t size, int flags, ...)
{
    REAL(void *, mremap, void *, size_t, size_t, int, ...)
    void *to = NULL;
    if (flags & MREMAP_FIXED) {
        va_list more;
        va_start(more, flags);
        to = va_arg(more, void *);
        va_end(more);
    }
    struct mapping *map = log_ ? mapping_at(at) : NULL;
    if (!map && !(to && log_ && is_mapped(to, size)))
        return real(at, old, size, flags, to);
    sigset_t kept;
    inside++;
    struct mapping its = map ? *map : (struct mapping){0};
    boundary(0);
    hold_table(&kept);
    if (map && map->alias)
        close_whole(map); /* the kernel moves what is one part of memory */
    size_t stays = flags & MREMAP_MAYMOVE ? 0 : old < size ? old : size;
    if (old > stays && map)
        leave_range((char *)at + stays, old - stays);
    if (to)
        leave_range(to, size);
    void *result = real(at, old, size, flags, to);
    int error = errno;
    left(result != MAP_FAILED);
    if (result != MAP_FAILED) {
        if (old && map)
            forget_mappings(at, old);
        forget_mappings(result, size);
        if (map && (map = new_mapping(result, size, its.file, its.offset + ((char *)at - its.at), its.protection)))
            watch_mapping(map);
    }
    release_table(&kept);
    inside--;
    errno = error;
    return result;
}

/* What the program says about the pages of a mapping is done to those of its alias; the closed ones stay as they are. */
static int for_each_part(char *at, size_t size, int (*outside)(void *, size_t, int), int (*part)(struct mapping *, int), int value)
{
    char *end = at + (size + PAGE - 1) / PAGE * PAGE;
    int result = 0, error = errno;
    inside++;
    boundary(0);
    lock_table();
    cut_at(at);
    cut_at(end);
    while (at < end && !result) {
        struct mapping *map = mapping_at(at);
        char *next = end;
        if (map) {
            next = map->at + map->size;
            result = map->alias ? part(map, value) : outside(at, (size_t)(next - at), value);
            if (!result && !map->alias)
                map->protection = value;
        } else {
            for (int k = 0; k < mapping_count; k++)
                if (mappings[k].at && mappings[k].at > at && mappings[k].at < next)
                    next = mappings[k].at;
            result = outside(at, (size_t)(next - at), value);
        }
        at = next;
    }
    unlock_table();
    inside--;
    if (!result)
        errno = error;
    return result;
}

static int protect_part(struct mapping *map, int protection)
{
    int result = (int)syscall(SYS_mprotect, map->alias, map->size, protection);
    if (!result)
        map->protection = protection;
    if (!result && close_whole(map))
        open_whole(map);
    return result;
}

PUBLIC int mprotect(void *at, size_t size, int protection)
{
    REAL(int, mprotect, void *, size_t, int)
    if (!log_ || inside || level != ACCESSES || (uintptr_t)at % PAGE || !is_mapped(at, size))
        return real(at, size, protection);
    return for_each_part(at, size, real, protect_part, protection);
}

static int advise_part(struct mapping *map, int advice)
{
    int forks = advice == MADV_DONTFORK || advice == MADV_DOFORK;
    if (forks && syscall(SYS_madvise, map->at, map->size, advice))
        return -1;
    return (int)syscall(SYS_madvise, map->alias, map->size, advice);
}

PUBLIC int madvise(void *at, size_t size, int advice)
{
    REAL(int, madvise, void *, size_t, int)
    if (!log_ || inside || level != ACCESSES || (uintptr_t)at % PAGE || !is_mapped(at, size))
        return real(at, size, advice);
    return for_each_part(at, size, real, advise_part, advice);
}

/* What is written back by force, a page at least, before another mount can see it; MS_ASYNC forces nothing (msync(2)). */
PUBLIC int msync(void *at, size_t size, int flags)
{
    REAL(int, msync, void *, size_t, int)
    struct mapping *map = recording() && flags & MS_SYNC ? mapping_at(at) : NULL;
    if (!map)
        return real(at, size, flags);
    inside++;
    int64_t from = map->offset + ((char *)at - map->at);
    struct event *event = before_range(SYNCED, -1, map->file, from, (int64_t)size, 0, CALLER);
    int result = real(at, size, flags), error = errno;
    after(event, result);
    inside--;
    errno = error;
    return result;
}

#define LOCKS_PAGES(name) PUBLIC int name(const void *at, size_t size) { REAL(int, name, const void *, size_t) return real(alias_of(at), size); }
LOCKS_PAGES(mlock) LOCKS_PAGES(munlock)
