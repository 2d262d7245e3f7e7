/* Mappings of files: where they are, what becomes of them, and, where accesses are watched, their aliases. */

#include "_watch.h"

int level;
struct mapping mappings[MAPPINGS];
_Atomic int mapping_count;

struct mapping *mapping_at(const void *address)
{
    int count = atomic_load_explicit(&mapping_count, memory_order_acquire);
    for (int k = 0; k < count; k++)
        if (mappings[k].at && (uintptr_t)address - (uintptr_t)mappings[k].at < mappings[k].size)
            return &mappings[k];
    return NULL;
}

static struct mapping *new_mapping(char *at, size_t length, uint32_t file, int64_t offset, int protection)
{
    for (int k = 0; k < MAPPINGS; k++)
        if (!mappings[k].at) {
            struct mapping *map = &mappings[k];
            map->size = (length + PAGE - 1) / PAGE * PAGE;
            map->length = length, map->offset = offset, map->file = file, map->protection = protection;
            map->alias = NULL, map->pages = NULL, map->watched = 0;
            map->at = at;
            if (k >= mapping_count)
                atomic_store_explicit(&mapping_count, k + 1, memory_order_release);
            return map;
        }
    return NULL;
}

/* Cut the mapping that an address lies in, so that one begins there. */
static void cut_at(char *at)
{
    struct mapping *map = mapping_at(at);
    if (!map || map->at == at)
        return;
    size_t first = (size_t)(at - map->at);
    struct mapping *rest = new_mapping(at, map->length > first ? map->length - first : 0, map->file, map->offset + (int64_t)first, map->protection);
    if (!rest)
        return;
    rest->size = map->size - first;
    rest->alias = map->alias ? map->alias + first : NULL;
    rest->watched = map->watched;
    rest->pages = map->pages ? map->pages + first / PAGE : NULL;
    map->size = first;
    if (map->length > first)
        map->length = first;
}

/* Forget what is mapped in a range; the caller has the table. */
void forget_mappings(char *at, size_t size)
{
    char *end = at + (size + PAGE - 1) / PAGE * PAGE;
    cut_at(at);
    cut_at(end);
    for (int k = 0; k < mapping_count; k++) {
        struct mapping *map = &mappings[k];
        if (map->at && map->at >= at && map->at < end) {
            map->at = NULL;
            if (map->alias)
                syscall(SYS_munmap, map->alias, map->size);
        }
    }
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
    if (!log_ || !is_mapped(at, size))
        return real(at, size);
    if (!inside++)
        note_unmapped(at, size, CALLER);
    int result = real(at, size), error = errno;
    if (!result) {
        lock_table();
        forget_mappings(at, size);
        unlock_table();
    }
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
    void *result = real(at, size, protection, flags, fd, offset);
    int error = errno;
    if (result != MAP_FAILED) {
        lock_table();
        if (flags & MAP_FIXED)
            forget_mappings(result, size);
        if (event && flags & MAP_SHARED) {
            struct mapping *map = new_mapping(result, size, file, offset, protection);
            if (map) {
                watch_mapping(map);
                event->flags |= map->alias ? SEEN : 0;
            }
        }
        unlock_table();
    }
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
    inside++;
    struct mapping its = map ? *map : (struct mapping){0};
    boundary(0);
    void *result = real(at, old, size, flags, to);
    int error = errno;
    if (result != MAP_FAILED) {
        lock_table();
        if (old && map)
            forget_mappings(at, old);
        forget_mappings(result, size);
        if (map && (map = new_mapping(result, size, its.file, its.offset + ((char *)at - its.at), its.protection)))
            watch_mapping(map);
        unlock_table();
    }
    inside--;
    errno = error;
    return result;
}

/* What the program says about the pages of a mapping is done to those of its alias; the closed ones stay as they are. */
static int for_each_part(char *at, size_t size, int (*outside)(void *, size_t, int), int (*part)(struct mapping *, int), int value)
{
    char *end = at + (size + PAGE - 1) / PAGE * PAGE;
    int result = 0;
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
    return result;
}

static int protect_part(struct mapping *map, int protection)
{
    int result = (int)syscall(SYS_mprotect, map->alias, map->size, protection);
    if (!result)
        map->protection = protection;
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
