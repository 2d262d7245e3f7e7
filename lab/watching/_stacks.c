/* Where a call came from: the return addresses, or the lines of Python where Python runs. Each stack is written once. */

#include "_watch.h"

enum { STACKS = 1 << 15 };

static uint64_t stack_hash[STACKS];
static uint32_t stack_count;
static int uses_python;

static __thread uintptr_t stack_low, stack_end __attribute__((tls_model("initial-exec")));

/* The caller has the table. */
uint32_t intern(uint64_t hash, int *is_new)
{
    uint32_t at = (uint32_t)(hash % STACKS);
    for (uint32_t k = 0; k < 64; k++, at = (at + 1) % STACKS) {
        if (stack_hash[at] == hash)
            return *is_new = 0, at + 1;
        if (!stack_hash[at] && stack_count < STACKS / 2) {
            stack_hash[at] = hash;
            stack_count++;
            return *is_new = 1, at + 1;
        }
    }
    return *is_new = 0;
}

/* The number of a stack that was written already, else 0. */
uint32_t stack_known(uint64_t hash)
{
    for (uint32_t k = 0, at = (uint32_t)(hash % STACKS); k < 64 && stack_hash[at]; k++, at = (at + 1) % STACKS)
        if (stack_hash[at] == hash)
            return at + 1;
    return 0;
}

/* Frames of a language, of which each is behind a tab; in front of them is room for the word and the number. */
void write_frames(const char *language, uint32_t id, char *line, int head, int length)
{
    char word[32];
    int size = snprintf(word, sizeof word, "%s %u", language, id);
    memcpy(line + head - size, word, (size_t)size);
    line[head + length] = '\n';
    write_text(line + head - size, (size_t)(size + length + 1));
}

void write_maps(void)
{
    static char maps[1 << 16];
    int file = (int)syscall(SYS_openat, AT_FDCWD, "/proc/self/maps", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    write_text("maps\n", 5);
    for (long count; (count = syscall(SYS_read, file, maps, sizeof maps)) > 0;)
        write_text(maps, (size_t)count);
    write_text("end\n", 4);
    syscall(SYS_close, file);
}

static uintptr_t code[256][2];
static int code_count;

static int add_code(struct dl_phdr_info *info, size_t size, void *data)
{
    (void)size, (void)data;
    for (int k = 0; k < info->dlpi_phnum; k++) {
        const ElfW(Phdr) *part = &info->dlpi_phdr[k];
        if (part->p_type == PT_LOAD && part->p_flags & PF_X && code_count < 256) {
            code[code_count][0] = info->dlpi_addr + part->p_vaddr;
            code[code_count++][1] = info->dlpi_addr + part->p_vaddr + part->p_memsz;
        }
    }
    return 0;
}

static int is_known_code(uintptr_t address)
{
    for (int k = 0; k < code_count; k++)
        if (code[k][0] <= address && address < code[k][1])
            return 1;
    return 0;
}

static uint32_t write_stack(void *const *frames, int count)
{
    uint64_t hash = 1;
    int is_new, known = 1;
    for (int k = 0; k < count; k++)
        hash = mixed(hash, (uint64_t)frames[k]), known &= is_known_code((uintptr_t)frames[k]);
    lock_table();
    uint32_t id = intern(hash | 1, &is_new);
    if (is_new) {
        if (!known) {
            code_count = 0;
            dl_iterate_phdr(add_code, NULL);
            write_maps();
            find_java();
        }
        static char line[40 + 20 * DEPTH];
        int length = snprintf(line, sizeof line, "stack %u", id);
        for (int k = 0; k < count; k++)
            length += snprintf(line + length, sizeof line - (size_t)length, " %lx", (unsigned long)frames[k]);
        line[length++] = '\n';
        write_text(line, (size_t)length);
    }
    unlock_table();
    return id;
}

/* Where Python runs, its frames say more than those of the interpreter. It writes those of this thread itself, as it does
   for faulthandler: without the GIL, which must not be waited for here, and without allocating anything. */
static int (*Py_IsInitialized)(void);
static void *(*PyGILState_GetThisThreadState)(void);
static void (*_Py_DumpTraceback)(int, void *);

static void find_python(void)
{
    struct { const char *name; void *at; } wanted[] = {
        {"Py_IsInitialized", &Py_IsInitialized},
        {"PyGILState_GetThisThreadState", &PyGILState_GetThisThreadState},
        {"_Py_DumpTraceback", &_Py_DumpTraceback},
    };
    uses_python = 1;
    for (size_t k = 0; k < sizeof wanted / sizeof *wanted; k++) {
        void *found = dlsym(RTLD_DEFAULT, wanted[k].name);
        uses_python &= found != NULL;
        memcpy(wanted[k].at, &found, sizeof found);
    }
}

/* From lines such as `  File "a.py", line 3 in work`: the file, the line and the function of each, behind tabs. */
static int python_frames(char *text, char *line, int size)
{
    int length = 0, depth = 0;
    for (char *at = strstr(text, "  File \""); at && depth < DEPTH; at = strstr(at, "\n  File \""), depth++) {
        at = strchr(at, '"') + 1;
        char *end = strstr(at, "\", line "), *in = end ? strstr(end, " in ") : NULL, *last = in ? strchr(in, '\n') : NULL;
        if (!last || length + 1300 > size)
            break;
        int path = (int)(end - at) > 400 ? 400 : (int)(end - at), name = (int)(last - in - 4) > 400 ? 400 : (int)(last - in - 4);
        length += snprintf(line + length, (size_t)(size - length), "\t%.*s\t%d\t%.*s", path, at, atoi(end + 8), name, in + 4);
        at = last;
    }
    return length;
}

/* Python writes a traceback in some ten pieces a frame. They go no further than `write` in _data.c, which takes those for
   this descriptor: a system call for each took 30 us for a short stack. What is behind the last frame of interest is left
   out. Whoever asks for a traceback has the table. */
static char traceback[8192];
static size_t traceback_size;
static int traceback_lines;
__thread char takes_traceback __attribute__((tls_model("initial-exec")));

void take_traceback(const char *from, size_t size)
{
    for (size_t k = 0; k < size && traceback_lines <= DEPTH && traceback_size < sizeof traceback - 1; k++) {
        traceback[traceback_size++] = from[k];
        traceback_lines += from[k] == '\n';
    }
}

static uint32_t python_stack(void *thread)
{
    static char line[12000];
    enum { HEAD = 32 };
    int is_new = 0;
    uint64_t hash = 3;
    lock_table();
    traceback_size = 0, traceback_lines = 0;
    takes_traceback = 1;
    _Py_DumpTraceback(TRACEBACK, thread);
    takes_traceback = 0;
    traceback[traceback_size] = 0;
    for (size_t k = 0; k < traceback_size; k += 8) {
        uint64_t word = 0;
        memcpy(&word, traceback + k, traceback_size - k < 8 ? traceback_size - k : 8);
        hash = mixed(hash, word);
    }
    uint32_t id = traceback_size ? stack_known(hash | 1) : 0;
    if (!id && traceback_size) {
        int length = python_frames(traceback, line + HEAD, (int)sizeof line - HEAD - 1);
        id = length ? intern(hash | 1, &is_new) : 0;
        if (id && is_new)
            write_frames("python", id, line, HEAD, length);
    }
    unlock_table();
    return id;
}

/* The unwinder takes 1 us a call. A stack seen before is recognised by its return addresses, in their places. */
struct cached { void *caller, *frame; uint32_t id, count; uintptr_t *place[DEPTH]; uintptr_t value[DEPTH]; };
enum { CACHED = 64 };
static __thread struct cached cache[CACHED] __attribute__((tls_model("initial-exec")));

static uintptr_t end_of_stack(void)
{
    pthread_attr_t its;
    void *low = NULL;
    size_t size = 0;
    if (!pthread_getattr_np(pthread_self(), &its)) {
        pthread_attr_getstack(&its, &low, &size);
        pthread_attr_destroy(&its);
    }
    stack_low = (uintptr_t)low;
    return (uintptr_t)low + size;
}

static uint32_t native_stack(void *caller, void *frame, int is_access)
{
    struct cached *at = &cache[(((uintptr_t)caller >> 2) ^ ((uintptr_t)frame >> 4)) % CACHED];
    if (at->caller == caller && at->frame == frame) {
        uint32_t k = 0;
        while (k < at->count && *at->place[k] == at->value[k])
            k++;
        if (k == at->count)
            return at->id;
    }
    void *frames[DEPTH + 8];
    int count = backtrace(frames, DEPTH + 8), first = 0;
    while (first < count && frames[first] != caller)
        first++;
    if (first == count)
        frames[0] = caller, first = 0, count = 1;
    count = count - first > DEPTH ? DEPTH : count - first;
    if (is_access) /* readers take one from each address, since a call is before its return address */
        frames[first] = (char *)frames[first] + 1;
    if (!stack_end)
        stack_end = end_of_stack();
    at->caller = caller;
    at->frame = frame;
    at->count = 0;
    uintptr_t *place = frame;
    if ((uintptr_t)frame < stack_low || (uintptr_t)frame >= stack_end) { /* a signal handler on a stack of its own */
        at->caller = NULL;
        return write_stack(frames + first, count);
    }
    for (int k = 1; k < count; k++) {
        while ((uintptr_t)(place + 1) < stack_end && *place != (uintptr_t)frames[first + k])
            place++;
        if ((uintptr_t)(place + 1) >= stack_end)
            break;
        at->place[at->count] = place;
        at->value[at->count++] = (uintptr_t)frames[first + k];
    }
    return at->id = write_stack(frames + first, count);
}

static uint32_t stack_at(void *caller, void *frame, int is_access)
{
    void *thread = uses_python && Py_IsInitialized() ? PyGILState_GetThisThreadState() : NULL;
    uint32_t id = thread ? python_stack(thread) : is_access ? 0 : java_stack(caller);
    if (id)
        return id;
    return native_stack(caller, frame, is_access);
}

uint32_t stack_of(void *caller, void *frame) { return stack_at(caller, frame, 0); }

/* From a signal handler: the instruction itself, and the stack pointer that it had. */
uint32_t stack_of_access(void *at, void *frame) { return stack_at(at, frame, 1); }

/* A child writes its stacks anew, beside its own log. */
void forget_stacks(void)
{
    memset(stack_hash, 0, sizeof stack_hash);
    stack_count = 0;
    memset(cache, 0, sizeof cache);
}

void prepare_stacks(void)
{
    void *frames[4];
    find_python();
    backtrace(frames, 4); /* the first one allocates */
    dl_iterate_phdr(add_code, NULL);
}
