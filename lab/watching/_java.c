/* Lines of Java: a call that comes from a native method has the frames of Java above it, which the JVM tells by its tool
   interface (JVM TI, "Function Index": the numbers of its functions are those of its table). It is asked for while the
   program runs, so that no agent has to be named when the JVM is started.

   The JVM may be asked only by a thread that is in a native method. Code of the JVM itself, and the libraries that it
   calls on the way, are not: their calls have native stacks. So have accesses to mappings, which Java code makes itself. */

#include "_watch.h"

enum { DETAILS = 0x30010200, DEALLOCATE = 47, CLASS_SIGNATURE = 48, SOURCE_FILE_NAME = 50, METHOD_NAME = 64, DECLARING_CLASS = 65, LINE_NUMBER_TABLE = 70, STACK_TRACE = 104, ADD_CAPABILITIES = 142 };
enum { GET_ENV = 6, JNI = 0x00010006, DELETE_LOCAL_REF = 23 }; /* jni.h: the places in the tables */
enum { SOURCE_FILE_NAMES = 1 << 11, LINE_NUMBERS = 1 << 12, CALLERS = 64, WORDS = 8000 };
enum { FRAMES = 40 }; /* a read of a text takes a dozen methods of the JDK */

struct frame { void *method; int64_t at; };
struct line { int64_t from; int32_t line; };

static void *vm, *_Atomic tools;
static char folder_of_jvm[512]; /* with the libraries of the JDK in it */

#define FUNCTION(its, number, ...) ((int (*)(void *, __VA_ARGS__))(*(void ***)(its))[number])
#define TOOL(number, ...) FUNCTION(tools, (number) - 1, __VA_ARGS__)

/* Looked for when new code has been loaded; the launcher loads the JVM for all to see. */
void find_java(void)
{
    Dl_info its;
    int count = 0;
    void *found = vm ? NULL : dlsym(RTLD_DEFAULT, "JNI_GetCreatedJavaVMs");
    if (!found || !dladdr(found, &its) || !its.dli_fname || strlen(its.dli_fname) >= sizeof folder_of_jvm)
        return;
    int (*machines)(void **, int, int *);
    memcpy(&machines, &found, sizeof machines);
    if (machines(&vm, 1, &count) || !count) {
        vm = NULL;
        return;
    }
    strcpy(folder_of_jvm, its.dli_fname); /* .../lib/server/libjvm.so */
    for (int k = 0; k < 2; k++)
        if (strrchr(folder_of_jvm, '/'))
            *strrchr(folder_of_jvm, '/') = 0;
}

/* The libraries of the JDK that only native methods call; others there are called by the JVM itself as well. */
static int is_of_native_methods(const void *caller)
{
    static _Atomic uintptr_t known[CALLERS]; /* the caller, which is no odd address, and in its lowest bit the answer */
    static const char *const its[] = {"libnio.so", "libjava.so", "libnet.so"};
    Dl_info about_;
    uintptr_t key = (uintptr_t)caller << 1, at = ((uintptr_t)caller >> 2) % CALLERS, last = known[at];
    if ((last & ~(uintptr_t)1) == key)
        return last & 1;
    int is = dladdr(caller, &about_) && about_.dli_fname;
    size_t length = strlen(folder_of_jvm);
    if (is && !strncmp(about_.dli_fname, folder_of_jvm, length) && about_.dli_fname[length] == '/') {
        is = 0;
        for (size_t k = 0; k < sizeof its / sizeof *its; k++)
            is |= !strcmp(about_.dli_fname + length + 1, its[k]);
    }
    known[at] = key | (uintptr_t)is;
    return is;
}

static int has_tools(void)
{
    void *new = NULL;
    if (!tools && !FUNCTION(vm, GET_ENV, void **, int)(vm, &new, DETAILS) && new) {
        uint32_t wanted[4] = {SOURCE_FILE_NAMES | LINE_NUMBERS};
        FUNCTION(new, ADD_CAPABILITIES - 1, void *)(new, wanted);
        tools = new;
    }
    return tools != NULL;
}

static void give_back(void *text)
{
    if (text)
        TOOL(DEALLOCATE, void *)(tools, text);
}

static int line_of(struct frame its)
{
    struct line *lines = NULL;
    int count = 0, found = 0;
    int64_t from = -1;
    if (its.at < 0 || TOOL(LINE_NUMBER_TABLE, void *, int *, struct line **)(tools, its.method, &count, &lines))
        return 0;
    for (int k = 0; k < count; k++)
        if (lines[k].from <= its.at && lines[k].from > from)
            from = lines[k].from, found = lines[k].line;
    give_back(lines);
    return found;
}

/* Behind tabs the file, as its package says where it is, the line, and the class and method. */
static int write_frame(struct frame its, void *env, char *to, int size)
{
    char *method = NULL, *class = NULL, *source = NULL;
    void *of = NULL;
    int length = 0;
    if (!TOOL(METHOD_NAME, void *, char **, char **, char **)(tools, its.method, &method, NULL, NULL) &&
        !TOOL(DECLARING_CLASS, void *, void **)(tools, its.method, &of) &&
        !TOOL(CLASS_SIGNATURE, void *, char **, char **)(tools, of, &class, NULL) && *class == 'L') {
        TOOL(SOURCE_FILE_NAME, void *, char **)(tools, of, &source);
        char *name = strrchr(class, '/') ? strrchr(class, '/') + 1 : class + 1, *end = strchr(name, ';');
        if (end)
            *end = 0;
        length = snprintf(to, (size_t)size, "\t%.*s%s\t%d\t%s.%s", (int)(name - class - 1), class + 1, source ? source : name, line_of(its), name, method);
    }
    if (of)
        FUNCTION(env, DELETE_LOCAL_REF, void *)(env, of);
    give_back(method), give_back(class), give_back(source);
    return length < size ? length : 0;
}

/* The JVM may wait here for its collector, so nothing is held that others may wait for. */
uint32_t java_stack(const void *caller)
{
    struct frame frames[FRAMES];
    void *env = NULL;
    int count = 0, is_new = 0;
    if (!vm || !is_of_native_methods(caller) || FUNCTION(vm, GET_ENV, void **, int)(vm, &env, JNI) || !env || !has_tools())
        return 0;
    if (TOOL(STACK_TRACE, void *, int, int, struct frame *, int *)(tools, NULL, 0, FRAMES, frames, &count) || !count)
        return 0;
    uint64_t hash = 5;
    for (int k = 0; k < count; k++)
        hash = mixed(mixed(hash, (uint64_t)frames[k].method), (uint64_t)frames[k].at);
    uint32_t id = stack_known(hash | 1);
    if (id)
        return id;
    char line[WORDS];
    int head = 32, length = 0;
    for (int k = 0; k < count; k++)
        length += write_frame(frames[k], env, line + head + length, WORDS - head - length - 1);
    lock_table();
    id = length ? intern(hash | 1, &is_new) : 0;
    if (id && is_new)
        write_frames("java", id, line, head, length);
    unlock_table();
    return id;
}
