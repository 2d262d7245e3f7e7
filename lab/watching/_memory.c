/* Functions of the C library that read memory, and system calls that are given memory, which may be a mapping whose pages
   are closed: they work on its alias. What they read or wrote is recorded: exactly what they had to. */

#include "_watch.h"

/* How many bytes from an address on are readable in a watched mapping; 0 outside of them. */
static size_t room_at(const void *at)
{
    struct mapping *map = level == ACCESSES && mapping_count && !inside ? mapping_at(at) : NULL;
    return map && map->alias && map->protection & PROT_READ ? (size_t)(map->at + map->size - (const char *)at) : 0;
}

/* Vector code reads more than it uses, and compares what it has read in ways that the decoder cannot tell from a search.
   Compared is up to the first difference. */

#define COMPARES(name) \
    PUBLIC int name(const void *one, const void *other, size_t size) \
    { REAL(int, name, const void *, const void *, size_t) return size && (room_at(one) >= size || room_at(other) >= size) ? compared(real, one, other, size, CALLER) : real(one, other, size); }

static int compared(int (*real)(const void *, const void *, size_t), const void *one, const void *other, size_t size, void *caller, void *frame)
{
    const unsigned char *x = room_at(one) >= size ? alias_of(one) : one, *y = room_at(other) >= size ? alias_of(other) : other;
    int result = real(x, y, size);
    size_t used = 0;
    while (result && used + 1 < size && x[used] == y[used])
        used++;
    used = result ? used + 1 : size;
    if (x != one)
        has_read(one, used, caller, frame);
    if (y != other)
        has_read(other, used, caller, frame);
    return result;
}

COMPARES(memcmp) COMPARES(bcmp) COMPARES(__memcmpeq)

static int compared_text(int (*real)(const char *, const char *, size_t), const char *one, const char *other, size_t size, void *caller, void *frame)
{
    size_t first = room_at(one), second = room_at(other), most = size, used = 0;
    const unsigned char *x = first ? alias_of(one) : one, *y = second ? alias_of(other) : other;
    most = first && first < most ? first : most;
    most = second && second < most ? second : most;
    while (used < most && x[used] == y[used] && x[used])
        used++;
    if (used == most && used < size)
        return real(one, other, size); /* it goes on behind the mapping */
    if (x != (const void *)one && size)
        has_read(one, used == size ? size : used + 1, caller, frame);
    if (y != (const void *)other && size)
        has_read(other, used == size ? size : used + 1, caller, frame);
    return used == size ? 0 : x[used] - y[used];
}

PUBLIC int strncmp(const char *one, const char *other, size_t size) { REAL(int, strncmp, const char *, const char *, size_t) return room_at(one) || room_at(other) ? compared_text(real, one, other, size, CALLER) : real(one, other, size); }
PUBLIC int strcmp(const char *one, const char *other)
{
    REAL(int, strcmp, const char *, const char *)
    static int (*bounded)(const char *, const char *, size_t);
    if (!room_at(one) && !room_at(other))
        return real(one, other);
    if (!bounded)
        bounded = (int (*)(const char *, const char *, size_t))dlsym(RTLD_NEXT, "strncmp");
    return compared_text(bounded, one, other, SIZE_MAX, CALLER);
}

PUBLIC size_t strlen(const char *text)
{
    REAL(size_t, strlen, const char *)
    size_t room = room_at(text), length = room ? strnlen(alias_of(text), room) : 0;
    if (length == room)
        return real(text);
    has_read(text, length + 1, CALLER);
    return length;
}

PUBLIC void *memchr(const void *at, int byte, size_t size)
{
    REAL(void *, memchr, const void *, int, size_t)
    if (!size || room_at(at) < size)
        return real(at, byte, size);
    const char *its = alias_of(at), *found = real(its, byte, size);
    size_t used = found ? (size_t)(found - its) + 1 : size;
    has_read(at, used, CALLER);
    return found ? (char *)at + used - 1 : NULL;
}
