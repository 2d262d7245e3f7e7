/* The hot path, compiled: one lock call, and the recorder of holds around it. Python does the same in posix.py and
 * nesting.py, and in lab/race/recorder.py; what is recorded where is told in lab/race/recorder.py. */

#define Py_LIMITED_API 0x030B0000
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <string.h>
#include <sys/file.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
enum { __libc_single_threaded = 0 };
#endif
#include <time.h>

enum { CURSOR, UNRECORDED, ROUNDS_DONE, HEADER = 8 };         /* words of a log */
enum { REQUESTED_NS, GRANTED_NS, RELEASED_NS, SPAN, RECORD }; /* words of a record */
enum { PRECISION_BITS = 7, LONGEST_BITS = 40, BUCKETS = (LONGEST_BITS - PRECISION_BITS + 1) << PRECISION_BITS };

enum { FLOCK = -1 }; /* in place of a command of fcntl(2) */

static PyTypeObject *call_type;
static PyObject *typed;    /* lab.locks.protocol.typed */
static unsigned forks;     /* between this process and the one that imported the module */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* fcntl(2) with `range`, or, where `whole` is set, flock(2): `whole` is the unlock of the same open file (in an unlock
 * itself), and counts the ranges that are held through it. */
typedef struct Call {
    PyObject_HEAD
    int descriptor, command, unlocks;
    struct flock range; /* of flock(2) only l_type, the operation */
    struct Call *whole;
    int count, exclusive;
    unsigned forks;
} Call;

static PyObject *call_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    int descriptor, command;
    short kind;
    long long start = 0, length = 0;
    PyObject *unlock = NULL;
    if (!PyArg_ParseTuple(arguments, "iih|LLO!", &descriptor, &command, &kind, &start, &length, call_type, &unlock))
        return NULL;
    Call *self = (Call *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    self->descriptor = descriptor;
    self->command = command;
    self->range = (struct flock){.l_type = kind, .l_start = start, .l_len = length};
    self->unlocks = kind == (command == FLOCK ? LOCK_UN : F_UNLCK);
    if (command == FLOCK)
        self->whole = unlock ? (Call *)Py_NewRef(unlock) : self;
    return (PyObject *)self;
}

static void call_dealloc(PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object), *whole = (PyObject *)((Call *)object)->whole;
    if (whole != object)
        Py_XDECREF(whole);
    PyObject_Free(object);
    Py_DECREF(type);
}

/* Whether the kernel is to be asked: lab.locks.kernel.Nesting. */
static int is_due(const Call *self)
{
    Call *whole = self->whole;
    if (!whole)
        return 1;
    if (self->unlocks)
        return --whole->count == 0;
    if (whole->forks != forks)
        whole->count = 0;
    whole->forks = forks;
    return whole->count == 0 || (self->range.l_type == LOCK_EX && !whole->exclusive);
}

/* A request may wait: without the interpreter lock, where another thread could use it. An unlock waits for no holder. */
static int attempt(const Call *self, uint64_t *returned_ns)
{
    struct flock range = self->range; /* another thread may be in the same call */
    PyThreadState *mine = self->unlocks || __libc_single_threaded ? NULL : PyEval_SaveThread();
    int result = self->whole ? flock(self->descriptor, range.l_type) : fcntl(self->descriptor, self->command, &range);
    if (!self->unlocks)
        *returned_ns = now_ns();
    if (mine)
        PyEval_RestoreThread(mine);
    return result;
}

/* What stands where an OSError names a file: lab.errors.refusal tells by it that the lab's own call was refused. */
static const char *name_of(const Call *self)
{
    switch (self->command) {
    case FLOCK: return "flock";
    case F_OFD_SETLK: case F_OFD_SETLKW: return "F_OFD_SETLK";
    default: return "F_SETLK";
    }
}

/* Make the call, again after each signal that was handled (PEP 475); a request tells when it returned. */
static int make_call(Call *self, uint64_t *returned_ns)
{
    int due = is_due(self), result = 0;
    while (due && (result = attempt(self, returned_ns)) < 0 && errno == EINTR && !PyErr_CheckSignals())
        continue;
    if (result < 0) {
        if (!PyErr_Occurred())
            PyErr_SetFromErrnoWithFilename(PyExc_OSError, name_of(self));
        return -1;
    }
    if (!due)
        *returned_ns = now_ns();
    if (self->whole && !self->unlocks) {
        if (due)
            self->whole->exclusive = self->range.l_type == LOCK_EX;
        self->whole->count++;
    }
    return 0;
}

/* Call whatever locks or unlocks; 0, or -1 with what it raised. */
static int act(PyObject *action, uint64_t *returned_ns)
{
    if (Py_IS_TYPE(action, call_type))
        return make_call((Call *)action, returned_ns);
    PyObject *answer = PyObject_CallNoArgs(action);
    *returned_ns = now_ns();
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

static PyObject *call_call(PyObject *self, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    uint64_t ignored;
    return !PyArg_ParseTuple(arguments, "") || act(self, &ignored) < 0 ? NULL : Py_NewRef(Py_None);
}

/* lab.analysis.latencies.bucket */
static uint64_t bucket(uint64_t time_ns)
{
    const uint64_t longest_ns = ((uint64_t)1 << LONGEST_BITS) - 1;
    unsigned shift = 0;
    if (time_ns > longest_ns)
        time_ns = longest_ns;
    while (time_ns >> shift >> (PRECISION_BITS + 1))
        shift++;
    return ((uint64_t)shift << PRECISION_BITS) + (time_ns >> shift);
}

typedef struct {
    PyObject_HEAD
    PyObject *acquire, *release;
    Py_buffer log, histogram; /* without obj where none was given */
    unsigned long long span;
    uint64_t slot; /* where the present hold is recorded; 0: it found the log full */
} Hold;

static PyObject *hold_new(PyTypeObject *type, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"acquire", "release", "log", "span", "histogram", NULL};
    const Py_ssize_t least = HEADER * sizeof(uint64_t), exactly = BUCKETS * sizeof(uint64_t);
    PyObject *acquire, *release;
    Hold *self = (Hold *)PyType_GenericAlloc(type, 0);
    if (!self)
        return NULL;
    if (PyArg_ParseTupleAndKeywords(arguments, named, "OOw*K|z*", names, &acquire, &release, &self->log, &self->span,
                                    &self->histogram)) {
        self->acquire = Py_NewRef(acquire);
        self->release = Py_NewRef(release);
        if (self->log.len < least)
            PyErr_Format(PyExc_ValueError, "a log has at least %d words", HEADER);
        else if (self->histogram.obj && (self->histogram.len != exactly || self->histogram.readonly))
            PyErr_Format(PyExc_ValueError, "a histogram has %d words, to be written to", BUCKETS);
        else
            return (PyObject *)self;
    }
    Py_DECREF((PyObject *)self);
    return NULL;
}

static void hold_dealloc(PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    Hold *self = (Hold *)object;
    PyBuffer_Release(&self->histogram);
    PyBuffer_Release(&self->log);
    Py_XDECREF(self->acquire);
    Py_XDECREF(self->release);
    PyObject_Free(self);
    Py_DECREF(type);
}

/* What was raised is replaced by what lab.locks.protocol.typed makes of it: an OSError with errno EDEADLK is a Deadlock. */
static void name_deadlock(void)
{
    PyObject *kind, *error, *trace;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    PyObject *named = PyObject_CallFunctionObjArgs(typed, error, NULL);
    if (named == error)
        PyErr_Restore(Py_NewRef(kind), Py_NewRef(error), Py_XNewRef(trace));
    else if (named)
        PyErr_SetObject((PyObject *)Py_TYPE(named), named);
    Py_XDECREF(named);
    Py_DECREF(kind);
    Py_DECREF(error);
    Py_XDECREF(trace);
}

static PyObject *hold_enter(Hold *self, PyObject *Py_UNUSED(ignored))
{
    uint64_t *log = self->log.buf, *histogram = self->histogram.buf, granted_ns;
    uint64_t words = (uint64_t)self->log.len / sizeof *log, slot = log[CURSOR];
    uint64_t *record = slot < words && words - slot >= RECORD ? log + slot : NULL;
    if (record) {
        record[SPAN] = self->span;
        record[GRANTED_NS] = 0;
    }
    uint64_t requested_ns = now_ns();
    if (record)
        record[REQUESTED_NS] = requested_ns;
    if (act(self->acquire, &granted_ns) < 0) {
        if (record)
            record[REQUESTED_NS] = 0;
        name_deadlock();
        return NULL;
    }
    if (record) {
        record[GRANTED_NS] = granted_ns;
        log[CURSOR] = slot + RECORD;
    } else {
        log[UNRECORDED]++;
        if (histogram)
            histogram[bucket(granted_ns - requested_ns)]++;
    }
    self->slot = record ? slot : 0;
    return Py_NewRef(Py_None);
}

static PyObject *hold_exit(Hold *self, PyObject *const *Py_UNUSED(error), Py_ssize_t Py_UNUSED(count))
{
    uint64_t ignored;
    if (self->slot)
        ((uint64_t *)self->log.buf)[self->slot + RELEASED_NS] = now_ns();
    return act(self->release, &ignored) < 0 ? NULL : Py_NewRef(Py_None);
}

/* The numbers of a worker's rounds, each written into its log as it begins: lab.race.recorder.python_rounds. */
typedef struct {
    PyObject_HEAD
    Py_buffer log;
    unsigned long long next, end;
} Rounds;

static PyObject *rounds_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    Rounds *self = (Rounds *)PyType_GenericAlloc(type, 0);
    if (self && PyArg_ParseTuple(arguments, "w*K", &self->log, &self->end)) {
        if (self->log.len >= (Py_ssize_t)(HEADER * sizeof(uint64_t)))
            return (PyObject *)self;
        PyErr_Format(PyExc_ValueError, "a log has at least %d words", HEADER);
    }
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static PyObject *rounds_next(Rounds *self)
{
    ((uint64_t *)self->log.buf)[ROUNDS_DONE] = self->next;
    return self->next < self->end ? PyLong_FromUnsignedLongLong(self->next++) : NULL;
}

static void rounds_dealloc(PyObject *object)
{
    PyTypeObject *type = Py_TYPE(object);
    PyBuffer_Release(&((Rounds *)object)->log);
    PyObject_Free(object);
    Py_DECREF((PyObject *)type);
}

static PyType_Slot rounds_slots[] = {
    {Py_tp_doc, "Rounds(log, rounds): the number of each round, written into the log as it begins."},
    {Py_tp_new, rounds_new},
    {Py_tp_dealloc, rounds_dealloc},
    {Py_tp_iter, PyObject_SelfIter},
    {Py_tp_iternext, rounds_next},
    {0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "One call of fcntl(2) or flock(2), to be made as often as it is called."},
    {Py_tp_new, call_new},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_call, call_call},
    {0, NULL},
};

static PyMethodDef hold_methods[] = {
    {"__enter__", (PyCFunction)hold_enter, METH_NOARGS, "Acquire, and record when."},
    {"__exit__", (PyCFunction)(void (*)(void))hold_exit, METH_FASTCALL, "Record when, and release."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hold_slots[] = {
    {Py_tp_doc, "A lock over one byte range, entered and left with every interval written down."},
    {Py_tp_new, hold_new},
    {Py_tp_dealloc, hold_dealloc},
    {Py_tp_methods, hold_methods},
    {0, NULL},
};

static PyType_Spec call_spec = {"lab.locks._native.Call", sizeof(Call), 0, Py_TPFLAGS_DEFAULT, call_slots};
static PyType_Spec hold_spec = {"lab.locks._native.Hold", sizeof(Hold), 0, Py_TPFLAGS_DEFAULT, hold_slots};
static PyType_Spec rounds_spec = {"lab.locks._native.Rounds", sizeof(Rounds), 0, Py_TPFLAGS_DEFAULT, rounds_slots};

static PyObject *module_bucket(PyObject *Py_UNUSED(module), PyObject *time_ns)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(time_ns);
    return PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(bucket(value));
}

static PyMethodDef module_methods[] = {
    {"bucket", module_bucket, METH_O, "lab.analysis.latencies.bucket, as the recorder finds it."},
    {NULL, NULL, 0, NULL},
};

static void count_fork(void) { forks++; }

static int add_type(PyObject *module, PyType_Spec *spec)
{
    PyObject *type = PyType_FromSpec(spec);
    int added = type ? PyModule_AddType(module, (PyTypeObject *)type) : -1;
    Py_XDECREF(type);
    return added;
}

static int module_exec(PyObject *module)
{
    PyObject *protocol = PyImport_ImportModule("lab.locks.protocol");
    typed = protocol ? PyObject_GetAttrString(protocol, "typed") : NULL;
    Py_XDECREF(protocol);
    call_type = typed ? (PyTypeObject *)PyType_FromSpec(&call_spec) : NULL;
    if (!call_type || PyModule_AddType(module, call_type) < 0 || add_type(module, &hold_spec) < 0
        || add_type(module, &rounds_spec) < 0 || PyModule_AddIntConstant(module, "FLOCK", FLOCK) < 0)
        return -1;
    errno = pthread_atfork(NULL, NULL, count_fork);
    return errno ? PyErr_SetFromErrno(PyExc_OSError), -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.locks._native",
    .m_doc = "fcntl(2), flock(2) and the recorder of holds, compiled.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module_definition); }
