/* Which pages of its shared mappings a process wrote between two of its calls, from the kernel: without a signal, and so
   without anything that the program could notice. A page that was written is protected again as it is reported, by
   userfaultfd with asynchronous write protection and PAGEMAP_SCAN (Linux 6.7; Documentation/admin-guide/mm/pagemap.rst).
   The descriptors are opened for each process anew, out of the way of those that programs count on. */

#include "_watch.h"

#include <sys/ioctl.h>

#ifdef __NR_userfaultfd
enum { USER_MODE = 1, API = 0xAA, ASYNCHRONOUS = 1 << 15, UNPOPULATED = 1 << 13, HIGH = 900 };
enum { PROTECTS = 1 << 1, PROTECT_MATCHING = 1, CHECK_ASYNCHRONOUS = 2, IS_WRITTEN = 2 };

/* The headers of older kernels have none of these (include/uapi/linux/userfaultfd.h, fs.h). */
struct api { uint64_t api, features, ioctls; };
struct registered { uint64_t start, length, mode, ioctls; };
struct protected { uint64_t start, length, mode; };
struct found { uint64_t start, end, categories; };
struct scan { uint64_t size, flags, start, end, walk_end, found, found_length, most, inverted, wanted, any, returned; };
#define CHOOSE_API _IOWR(0xAA, 0x3f, struct api)
#define REGISTER _IOWR(0xAA, 0x00, struct registered)
#define PROTECT _IOWR(0xAA, 0x06, struct protected)
#define SCAN _IOWR('f', 16, struct scan)

static int faults = -1, pagemap = -1;

static int moved_up(int fd)
{
    if (fd < 0)
        return -1;
    int high = (int)syscall(SYS_fcntl, fd, F_DUPFD_CLOEXEC, HIGH);
    if (high < 0)
        return fd;
    syscall(SYS_close, fd);
    return high;
}

void prepare_pages(void)
{
    struct api api = {API, ASYNCHRONOUS | UNPOPULATED, 0};
    faults = moved_up((int)syscall(__NR_userfaultfd, O_CLOEXEC | USER_MODE));
    pagemap = moved_up((int)syscall(SYS_openat, AT_FDCWD, "/proc/self/pagemap", O_RDONLY | O_CLOEXEC));
    if (faults < 0 || pagemap < 0 || syscall(SYS_ioctl, faults, CHOOSE_API, &api))
        write_text("limit the pages that this process wrote: the kernel refused\n", 60);
}

/* Whether the mapping is one whose written pages the kernel will tell. */
int watch_pages(struct mapping *map)
{
    struct registered its = {(uintptr_t)map->at, map->size, PROTECTS, 0};
    struct protected all = {(uintptr_t)map->at, map->size, 1};
    return map->protection & PROT_WRITE && faults >= 0 && !syscall(SYS_ioctl, faults, REGISTER, &its) && !syscall(SYS_ioctl, faults, PROTECT, &all);
}

/* A child is watched by descriptors of its own: those of its parent tell of the parent's memory. */
void pages_of_child(void)
{
    if (faults >= 0)
        syscall(SYS_close, faults);
    if (pagemap >= 0)
        syscall(SYS_close, pagemap);
    prepare_pages();
    for (int k = 0; k < mapping_count; k++)
        if (mappings[k].at)
            mappings[k].watched = watch_pages(&mappings[k]);
}

int is_own_descriptor(int fd) { return fd >= 0 && (fd == faults || fd == pagemap); }

static void scan(struct mapping *map, uint32_t stack)
{
    struct found found[32];
    struct scan its = {.size = sizeof its, .flags = PROTECT_MATCHING | CHECK_ASYNCHRONOUS, .start = (uintptr_t)map->at, .end = (uintptr_t)map->at + map->size,
                       .found = (uintptr_t)found, .found_length = 32, .wanted = IS_WRITTEN, .returned = IS_WRITTEN};
    for (long count = 32; count == 32 && its.start < its.end; its.start = its.walk_end) {
        count = syscall(SYS_ioctl, pagemap, SCAN, &its);
        for (long k = 0; k < count; k++)
            for (uint64_t at = found[k].start; at < found[k].end; at += PAGE) {
                struct event *event = new_event(WRITTEN, now());
                if (!event)
                    continue;
                event->file = map->file;
                event->stack = stack;
                event->start = map->offset + (int64_t)(at - (uintptr_t)map->at);
                event->length = PAGE;
                event->end = event->begin;
            }
    }
}

void written_pages(uint32_t stack)
{
    for (int k = 0; k < mapping_count; k++)
        if (mappings[k].at && mappings[k].watched)
            scan(&mappings[k], stack);
}
#else
void prepare_pages(void) { level = CALLS; }
int watch_pages(struct mapping *map) { (void)map; return 0; }
void pages_of_child(void) {}
int is_own_descriptor(int fd) { (void)fd; return 0; }
void written_pages(uint32_t stack) { (void)stack; }
#endif
