/* Which files are watched, and which of them a descriptor or a name refers to. */

#include "_watch.h"

const char *globs, *outputs;
struct known files[FILES];
unsigned char file_type[FILES];
uint32_t file_count;
_Atomic uint32_t fd_file[FDS];
unsigned char fd_appends[FDS];

static int is_chosen(const char *path)
{
    static const char *const elsewhere[] = {"/usr/", "/lib", "/bin/", "/sbin/", "/etc/", "/proc/", "/sys/", "/dev/", "/opt/", "/snap/"};
    size_t length = strlen(path), mine = strlen(folder);
    if (!strncmp(path, folder, mine) && path[mine] == '/')
        return 0;
    if (globs && *globs) {
        static char glob[1024]; /* the caller has the table */
        for (const char *at = globs; *at;) {
            size_t size = strcspn(at, "\n");
            if (size < sizeof glob) {
                memcpy(glob, at, size);
                glob[size] = 0;
                const char *name = strrchr(path, '/');
                if (!fnmatch(glob, path, 0) || (!strchr(glob, '/') && name && !fnmatch(glob, name + 1, 0)))
                    return 1;
            }
            at += size + (at[size] == '\n');
        }
        return 0;
    }
    if (!strncmp(path, "/dev/shm/", 9))
        return 1;
    if (!strncmp(path, "/memfd:", 7)) /* it has no name: a heap, more often than what processes share */
        return 0;
    for (size_t k = 0; k < sizeof elsewhere / sizeof *elsewhere; k++)
        if (!strncmp(path, elsewhere[k], strlen(elsewhere[k])))
            return 0;
    return !(length > 4 && !strcmp(path + length - 4, ".pyc")) && !strstr(path, "/__pycache__/") && !strstr(path, "/site-packages/") &&
           !strstr(path, "/hsperfdata_"); /* where a JVM tells its own figures */
}

uint32_t file_of(const struct statx *about, const char *path, int type)
{
    struct known this = {((uint64_t)about->stx_dev_major << 32) | about->stx_dev_minor, about->stx_ino, 0};
    if (about->stx_mask & STATX_BTIME)
        this.born = about->stx_btime.tv_sec * 1000000000 + about->stx_btime.tv_nsec;
    uint32_t found = NOT_CHOSEN; /* the caller has the table */
    for (uint32_t k = file_count; k; k--)
        if (files[k].inode == this.inode && files[k].device == this.device && files[k].born == this.born) {
            found = k;
            break;
        }
    if (found == NOT_CHOSEN && file_count + 1 < FILES) {
        found = ++file_count;
        files[found] = this;
        file_type[found] = (unsigned char)type;
        replay_file(found, path);
        static char line[4400]; /* the stacks of programs may be small */
        int length = snprintf(line, sizeof line, "file %u %llu %llu %lld %d %.4000s", found, (unsigned long long)this.device,
                              (unsigned long long)this.inode, (long long)this.born, type, path);
        plain(line);
        line[length++] = '\n';
        write_text(line, (size_t)length);
    }
    return found;
}

int about(int at, const char *path, int flags, struct statx *found)
{
    return (int)syscall(SYS_statx, at, path, flags, STATX_BASIC_STATS | STATX_BTIME, found);
}

/* Where the output of the whole run goes is nobody's shared file: LAB_WATCH_OUTPUT has such files, each as
   major:minor:inode and a comma. */
static int is_output(const struct statx *found)
{
    char this[64];
    snprintf(this, sizeof this, "%u:%u:%llu,", found->stx_dev_major, found->stx_dev_minor, (unsigned long long)found->stx_ino);
    return outputs && strstr(outputs, this) != NULL;
}

static uint32_t look_at(int fd)
{
    struct statx found;
    char link[64];
    int error = errno;
    if (about(fd, "", AT_EMPTY_PATH, &found)) {
        errno = error;
        return NOT_CHOSEN;
    }
    int type = S_ISREG(found.stx_mode) ? REGULAR : S_ISFIFO(found.stx_mode) ? CHANNEL : 0;
    if (!type || is_output(&found))
        return NOT_CHOSEN;
    static char path[4096]; /* the stacks of programs may be small */
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    lock_table();
    long length = syscall(SYS_readlinkat, AT_FDCWD, link, path, sizeof path - 1);
    path[length > 0 ? length : 0] = 0;
    uint32_t file = type == REGULAR && !is_chosen(path) ? NOT_CHOSEN : file_of(&found, path, type);
    unlock_table();
    return file;
}

uint32_t file_at(int fd)
{
    if (fd < 0 || fd >= FDS)
        return fd < 0 ? NOT_CHOSEN : look_at(fd);
    uint32_t file = atomic_load_explicit(&fd_file[fd], memory_order_relaxed);
    if (file == UNKNOWN) {
        file = look_at(fd);
        if (file != NOT_CHOSEN)
            fd_appends[fd] = (syscall(SYS_fcntl, fd, F_GETFL) & O_APPEND) != 0;
        atomic_store_explicit(&fd_file[fd], file, memory_order_relaxed);
    }
    return file;
}

void forget_fd(int fd) { if (fd >= 0 && fd < FDS) atomic_store_explicit(&fd_file[fd], UNKNOWN, memory_order_relaxed); }

char whole[4200];

void make_whole(int at, const char *path)
{
    if (path[0] == '/' || at != AT_FDCWD || syscall(SYS_getcwd, whole, 4000) <= 0)
        snprintf(whole, sizeof whole, "%.4000s", path);
    else
        snprintf(whole + strlen(whole), sizeof whole - strlen(whole), "/%.190s", path);
}

uint32_t file_named(int at, const char *path, int follow)
{
    struct statx found;
    if (!path || about(at, path, follow ? 0 : AT_SYMLINK_NOFOLLOW, &found) || !S_ISREG(found.stx_mode))
        return NOT_CHOSEN;
    lock_table();
    make_whole(at, path);
    uint32_t file = is_chosen(whole) ? file_of(&found, whole, REGULAR) : NOT_CHOSEN;
    unlock_table();
    return file;
}
