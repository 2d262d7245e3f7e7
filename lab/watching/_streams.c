/* The streams of stdio. A stream moves its descriptor when it really reads or writes, and only then. */

#include "_watch.h"

#include <wchar.h>

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

PUBLIC FILE *fopen(const char *path, const char *mode) { REAL(FILE *, fopen, const char *, const char *) path = TEXT(path); uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }
PUBLIC FILE *fopen64(const char *path, const char *mode) { REAL(FILE *, fopen64, const char *, const char *) path = TEXT(path); uint64_t begun = now(); return opened_stream(real(path, mode), path, mode, begun, CALLER); }

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

PUBLIC FILE *freopen(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen, const char *, const char *, FILE *) return reopened(real, TEXT(path), mode, stream, CALLER); }
PUBLIC FILE *freopen64(const char *path, const char *mode, FILE *stream) { REAL(FILE *, freopen64, const char *, const char *, FILE *) return reopened(real, TEXT(path), mode, stream, CALLER); }

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
PUBLIC int fputs(const char *from, FILE *stream) { REAL(int, fputs, const char *, FILE *) from = TEXT(from); STREAM(int, real(from, stream)) }
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

static int real_vfprintf(FILE *stream, const char *form, va_list values) { REAL(int, vfprintf, FILE *, const char *, va_list) return real(stream, form, values); }

/* The C library hands a long text of %s to the kernel from where it stands: here it is put together elsewhere first. */
static int written_out(FILE *stream, const char *form, va_list values)
{
    if (level != ACCESSES || !mapping_count || !strchr(form, 's') || fwide(stream, 0) > 0)
        return real_vfprintf(stream, form, values);
    char few[512], *text = few;
    va_list same;
    int kept = errno; /* for %m */
    va_copy(same, values);
    int length = vsnprintf(few, sizeof few, form, same), result = -1;
    size_t size = (size_t)length + 1;
    va_end(same);
    if (length < 0)
        return -1;
    errno = kept;
    if (size > sizeof few) {
        text = (char *)syscall(SYS_mmap, NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (text == MAP_FAILED)
            return -1;
        errno = kept;
        vsnprintf(text, size, form, values);
        errno = kept;
    }
    if (fwrite(text, 1, (size_t)length, stream) == (size_t)length)
        result = length;
    if (text != few) {
        int error = errno;
        syscall(SYS_munmap, text, size);
        errno = error;
    }
    return result;
}

#define FORMATS(name, call) \
    PUBLIC int name(FILE *stream, const char *form, ...) \
    { va_list values; va_start(values, form); int result = formatted(call, stream, form, values, CALLER); va_end(values); return result; }
/* The headers rename fscanf to the one that follows C99, and now C23; an older program's reads other formats. */
FORMATS(fscanf, vfscanf) FORMATS(__isoc23_fscanf, vfscanf) FORMATS(fprintf, written_out)

#define FORMATS_TO(name, stream, first, ...) \
    PUBLIC int name(__VA_ARGS__ __VA_OPT__(, ) const char *form, ...) \
    { va_list values; va_start(values, form); int result = formatted(written_out, stream, form, values, CALLER); va_end(values); return result; } \
    PUBLIC int first(__VA_ARGS__ __VA_OPT__(, ) const char *form, va_list values) { return formatted(written_out, stream, form, values, CALLER); }
FORMATS_TO(printf, stdout, vprintf) FORMATS_TO(__printf_chk, stdout, __vprintf_chk, __attribute__((unused)) int checks)
FORMATS_TO(__fprintf_chk, stream, __vfprintf_chk, FILE *stream, __attribute__((unused)) int checks)
PUBLIC int vfprintf(FILE *stream, const char *form, va_list values) { return formatted(written_out, stream, form, values, CALLER); }

PUBLIC int puts(const char *text) { REAL(int, puts, const char *) FILE *stream = stdout; text = TEXT(text); STREAM(int, real(text)) }
PUBLIC void perror(const char *text) { REAL(void, perror, const char *) real(TEXT(text)); }
PUBLIC int setvbuf(FILE *stream, char *buffer, int mode, size_t size) { REAL(int, setvbuf, FILE *, char *, int, size_t) return real(stream, alias_of(buffer), mode, size); }
PUBLIC void setbuf(FILE *stream, char *buffer) { REAL(void, setbuf, FILE *, char *) real(stream, alias_of(buffer)); }
PUBLIC void setbuffer(FILE *stream, char *buffer, size_t size) { REAL(void, setbuffer, FILE *, char *, size_t) real(stream, alias_of(buffer), size); }

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
        written->end = closed ? closed->begin : now(), replay_after(written);
    after(closed, 0);
    inside--;
    errno = error;
    return result;
}
