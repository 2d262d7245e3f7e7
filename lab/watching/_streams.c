/* The streams of stdio. A stream moves its descriptor when it really reads or writes, and only then. */

#include "_watch.h"

static int flags_of(const char *mode)
{
    int plus = strchr(mode, '+') != NULL;
    return (*mode == 'r' ? 0 : *mode == 'w' ? O_CREAT | O_TRUNC : O_CREAT | O_APPEND) | (strchr(mode, 'x') ? O_EXCL : 0) | (plus ? O_RDWR : *mode == 'r' ? O_RDONLY : O_WRONLY);
}

static FILE *opened_stream(FILE *stream, const char *path, const char *mode, uint64_t begun, void *caller, void *frame)
{
    opened(stream ? fileno(stream) : -1, flags_of(mode), begun, path, AT_FDCWD, caller, frame);
    return stream;
}

PUBLIC FILE *fopen(const char *path, const char *mode) { REAL(FILE *, fopen, const char *, const char *) uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }
PUBLIC FILE *fopen64(const char *path, const char *mode) { REAL(FILE *, fopen64, const char *, const char *) uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }

static FILE *reopened(FILE *(*real)(const char *, const char *, FILE *), const char *path, const char *mode, FILE *stream, void *caller, void *frame)
{
    uint64_t begun = now();
    if (recording()) {
        inside++;
        after(closing(fileno(stream), caller, frame), 0);
        inside--;
    }
    FILE *opened_ = real(path, mode, stream);
    return path ? opened_stream(opened_, path, mode, begun, caller, frame) : opened_;
}

PUBLIC FILE *freopen(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen, const char *, const char *, FILE *) return reopened(real, path, mode, stream, CALLER); }
PUBLIC FILE *freopen64(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen64, const char *, const char *, FILE *) return reopened(real, path, mode, stream, CALLER); }

struct streamed { int fd; uint32_t file; int64_t at; uint64_t begun; int ends_line; };

static int ends_line(FILE *stream) { return __fpending(stream) && stream->_IO_write_ptr[-1] == '\n'; }

static struct streamed stream_before(FILE *stream)
{
    struct streamed its = {stream ? fileno(stream) : -1, NOT_CHOSEN, 0, 0, 0};
    its.file = file_at(its.fd);
    if (its.file != NOT_CHOSEN && file_type[its.file] != REGULAR)
        its.file = NOT_CHOSEN;
    if (its.file != NOT_CHOSEN)
        its.at = syscall(SYS_lseek, its.fd, 0, SEEK_CUR), its.begun = now(), its.ends_line = ends_line(stream);
    return its;
}

static void stream_after(struct streamed its, FILE *stream, void *caller, void *frame)
{
    if (its.file == NOT_CHOSEN)
        return;
    int writes = __fwriting(stream);
    int64_t at = syscall(SYS_lseek, its.fd, 0, SEEK_CUR);
    if (at <= its.at)
        return;
    struct event *event = before(writes ? WRITE : READ, its.fd, its.file, caller, frame);
    if (!event)
        return;
    event->begin = its.begun;
    event->start = its.at;
    event->length = at - its.at;
    event->flags = (uint16_t)(writes && its.fd < FDS && fd_appends[its.fd] ? APPENDS : 0);
    if (its.ends_line && !__fpending(stream))
        event->flags |= ENDS_LINE;
    after(event, 0);
}

static int number_of(FILE *stream) { return stream ? stream->_fileno : -1; } /* fflush takes NULL */

#define STREAM(type, call) \
    if (!recording() || is_left_alone(number_of(stream))) return call; \
    inside++; \
    int before_ = errno; \
    struct streamed its = stream_before(stream); \
    errno = before_; \
    type result = call; \
    int error = errno; \
    stream_after(its, stream, CALLER); \
    inside--; \
    errno = error; \
    return result;

PUBLIC size_t fread(void *to, size_t size, size_t count, FILE *stream) { REAL(size_t, fread, void *, size_t, size_t, FILE *) STREAM(size_t, real(for_kernel(to, size * count, STORE, CALLER), size, count, stream)) }
PUBLIC size_t fwrite(const void *from, size_t size, size_t count, FILE *stream) { REAL(size_t, fwrite, const void *, size_t, size_t, FILE *) STREAM(size_t, real(for_kernel(from, size * count, LOAD, CALLER), size, count, stream)) }
PUBLIC char *fgets(char *to, int size, FILE *stream) { REAL(char *, fgets, char *, int, FILE *) STREAM(char *, real(to, size, stream)) }
PUBLIC int fputs(const char *from, FILE *stream) { REAL(int, fputs, const char *, FILE *) STREAM(int, real(from, stream)) }
PUBLIC ssize_t getline(char **line, size_t *size, FILE *stream) { REAL(ssize_t, getline, char **, size_t *, FILE *) STREAM(ssize_t, real(line, size, stream)) }
PUBLIC ssize_t getdelim(char **line, size_t *size, int end, FILE *stream) { REAL(ssize_t, getdelim, char **, size_t *, int, FILE *) STREAM(ssize_t, real(line, size, end, stream)) }
PUBLIC ssize_t __getdelim(char **line, size_t *size, int end, FILE *stream) { REAL(ssize_t, __getdelim, char **, size_t *, int, FILE *) STREAM(ssize_t, real(line, size, end, stream)) }
#define CHARACTERS(name) PUBLIC int name(FILE *stream) { REAL(int, name, FILE *) STREAM(int, real(stream)) }
CHARACTERS(fgetc) CHARACTERS(getc) CHARACTERS(_IO_getc) CHARACTERS(fflush)
#undef CHARACTERS
#define CHARACTERS(name) PUBLIC int name(int character, FILE *stream) { REAL(int, name, int, FILE *) STREAM(int, real(character, stream)) }
CHARACTERS(fputc) CHARACTERS(putc) CHARACTERS(_IO_putc)
#define SEEKS(name, type) PUBLIC int name(FILE *stream, type to, int from) { REAL(int, name, FILE *, type, int) if (recording() && __fpending(stream)) { STREAM(int, real(stream, to, from)) } return real(stream, to, from); }
SEEKS(fseek, long) SEEKS(fseeko, off_t) SEEKS(fseeko64, off64_t)

static int formatted(int (*call)(FILE *, const char *, va_list), FILE *stream, const char *form, va_list values, void *caller, void *frame)
{
    if (!recording() || is_left_alone(number_of(stream)))
        return call(stream, form, values);
    inside++;
    int kept = errno;
    struct streamed its = stream_before(stream);
    errno = kept;
    int result = call(stream, form, values), error = errno;
    stream_after(its, stream, caller, frame);
    inside--;
    errno = error;
    return result;
}

#define FORMATS(name, call) \
    PUBLIC int name(FILE *stream, const char *form, ...) \
    { va_list values; va_start(values, form); int result = formatted(call, stream, form, values, CALLER); va_end(values); return result; }
/* The headers rename fscanf to the one that follows C99, and now C23; an older program's reads other formats. */
FORMATS(fscanf, vfscanf) FORMATS(__isoc23_fscanf, vfscanf) FORMATS(fprintf, vfprintf)

PUBLIC int __fprintf_chk(FILE *stream, int flag, const char *form, ...)
{
    (void)flag;
    va_list values;
    va_start(values, form);
    int result = formatted(vfprintf, stream, form, values, CALLER);
    va_end(values);
    return result;
}

PUBLIC int fclose(FILE *stream)
{
    REAL(int, fclose, FILE *)
    if (!recording() || !stream)
        return real(stream);
    inside++;
    int kept = errno, fd = fileno(stream);
    uint32_t file = file_at(fd);
    struct event *written = NULL, *closed = NULL;
    if (fd >= 0 && file != NOT_CHOSEN && file_type[file] == REGULAR) {
        int64_t pending = (int64_t)__fpending(stream);
        if (pending) {
            written = before(WRITE, fd, file, CALLER);
            if (written) {
                written->start = ftello(stream) - pending;
                written->length = pending;
                written->flags = (uint16_t)((fd < FDS && fd_appends[fd] ? APPENDS : 0) | (ends_line(stream) ? ENDS_LINE : 0));
            }
        }
        closed = closing(fd, CALLER);
    }
    forget_fd(fd);
    errno = kept;
    int result = real(stream), error = errno;
    if (written)
        written->end = closed ? closed->begin : now();
    after(closed, 0);
    inside--;
    errno = error;
    return result;
}
