/* Mappings of files. */

#include "_watch.h"

static struct { char *at; size_t size; uint32_t file; int64_t offset; } maps_[1024];

static void remember_map(char *at, size_t size, uint32_t file, int64_t offset)
{
    lock_table();
    for (int k = 0; k < 1024; k++)
        if (!maps_[k].at) {
            maps_[k].size = size, maps_[k].file = file, maps_[k].offset = offset, maps_[k].at = at;
            break;
        }
    unlock_table();
}

PUBLIC int munmap(void *at, size_t size)
{
    REAL(int, munmap, void *, size_t)
    if (recording())
        for (int k = 0; k < 1024; k++)
            if (maps_[k].at && maps_[k].at >= (char *)at && maps_[k].at < (char *)at + size) {
                inside++;
                struct event *event = before(UNMAP, -1, maps_[k].file, CALLER);
                if (event)
                    event->start = maps_[k].offset, event->length = (int64_t)maps_[k].size, event->end = now();
                maps_[k].at = NULL;
                inside--;
            }
    return real(at, size);
}

static void *mapped(void *(*real)(void *, size_t, int, int, int, off_t), void *at, size_t size, int protection, int flags, int fd, off_t offset, void *caller, void *frame)
{
    if (!recording() || flags & MAP_ANONYMOUS || fd < 0)
        return real(at, size, protection, flags, fd, offset);
    inside++;
    uint32_t file = file_at(fd);
    struct event *event = file == NOT_CHOSEN || file_type[file] != REGULAR ? NULL : before(MAP, fd, file, caller, frame);
    if (event) {
        event->start = offset;
        event->length = (int64_t)size;
        event->flags = protection & PROT_WRITE ? EXCLUSIVE : SHARED;
        event->other = flags;
    }
    void *result = real(at, size, protection, flags, fd, offset);
    int error = errno;
    if (event && result != MAP_FAILED && flags & MAP_SHARED)
        remember_map(result, size, file, offset);
    after(event, result == MAP_FAILED ? -1 : 0);
    inside--;
    errno = error;
    return result;
}

PUBLIC void *mmap(void *at, size_t size, int protection, int flags, int fd, off_t offset) { REAL(void *, mmap, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }
PUBLIC void *mmap64(void *at, size_t size, int protection, int flags, int fd, off64_t offset) { REAL(void *, mmap64, void *, size_t, int, int, int, off_t) return mapped(real, at, size, protection, flags, fd, offset, CALLER); }
