/* Lock calls, compiled: fcntl(2) and flock(2), as lab/locking/kernel.py makes them in Python. The recorder of holds, in
 * lab/racing/_recorder.c, is built into the same module, so that it makes them without a call of Python. */

#include "_native.h"
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <sys/file.h>
#if __has_include(<sys/single_threaded.h>)
#include <sys/single_threaded.h>
#else
enum { __libc_single_threaded = 0 };
#endif
#include <time.h>

enum { FLOCK = -1 }; /* in place of a command of fcntl(2) */

static PyTypeObject *call_type, *insisting_type;
PyObject *lab_typed;
static unsigned forks; /* between this process and the one that imported the module */

uint64_t lab_now_ns(void)
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

/* Say whether the kernel has to be called: lab.locking.kernel.Nesting. */
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
        *returned_ns = lab_now_ns();
    if (mine)
        PyEval_RestoreThread(mine);
    return result;
}

/* This stands where an OSError names a file: lab.errors.refusal sees by it that the lab's own call was refused. */
static const char *name_of(const Call *self)
{
    switch (self->command) {
    case FLOCK: return "flock";
    case F_OFD_SETLK: case F_OFD_SETLKW: return "F_OFD_SETLK";
    default: return "F_SETLK";
    }
}

/* Make the call, again after each signal that was handled (PEP 475); a request says when it returned. Return -1 where
 * it failed, with an exception only where a signal's handler raised one: otherwise errno says why. */
static int try_call(Call *self, uint64_t *returned_ns)
{
    int due = is_due(self), result = 0;
    while (due && (result = attempt(self, returned_ns)) < 0 && errno == EINTR && !PyErr_CheckSignals())
        continue;
    if (result < 0)
        return -1;
    if (!due)
        *returned_ns = lab_now_ns();
    if (self->whole && !self->unlocks) {
        if (due)
            self->whole->exclusive = self->range.l_type == LOCK_EX;
        self->whole->count++;
    }
    return 0;
}

static int make_call(Call *self, uint64_t *returned_ns)
{
    int result = try_call(self, returned_ns);
    if (result < 0 && !PyErr_Occurred())
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, name_of(self));
    return result;
}

/* A request that is made again where it was refused: lab.racing.perturb.insisting. */
typedef struct {
    PyObject_HEAD
    Call *call;
    Py_buffer log;
    unsigned turn; /* it yields after so many refusals */
} Insisting;

static PyObject *insisting_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    PyObject *call;
    Insisting *self = (Insisting *)PyType_GenericAlloc(type, 0);
    if (self && PyArg_ParseTuple(arguments, "O!w*I", call_type, &call, &self->log, &self->turn)) {
        self->call = (Call *)Py_NewRef(call);
        if (self->turn && self->log.len > DEADLOCKS * (Py_ssize_t)sizeof(uint64_t))
            return (PyObject *)self;
        PyErr_Format(PyExc_ValueError, "a log has more than %d words, and a turn a request", DEADLOCKS);
    }
    Py_XDECREF((PyObject *)self);
    return NULL;
}

static void insisting_dealloc(PyObject *object)
{
    PyObject *type = (PyObject *)Py_TYPE(object);
    PyBuffer_Release(&((Insisting *)object)->log);
    Py_XDECREF((PyObject *)((Insisting *)object)->call);
    PyObject_Free(object);
    Py_DECREF(type);
}

static int insist(Insisting *self, uint64_t *returned_ns)
{
    uint64_t *log = self->log.buf;
    unsigned refused = 0;
    while (try_call(self->call, returned_ns) < 0) {
        if (PyErr_Occurred())
            return -1;
        if (errno == EAGAIN || errno == EACCES)
            log[REFUSED]++;
        else if (errno == EDEADLK)
            log[DEADLOCKS]++;
        else
            return PyErr_SetFromErrnoWithFilename(PyExc_OSError, name_of(self->call)), -1;
        if (++refused % self->turn == 0)
            sched_yield();
        if (PyErr_CheckSignals())
            return -1;
    }
    return 0;
}

/* Call the action, which locks or unlocks; 0, or -1 with its exception. */
int lab_act(PyObject *action, uint64_t *returned_ns)
{
    if (Py_IS_TYPE(action, call_type))
        return make_call((Call *)action, returned_ns);
    if (Py_IS_TYPE(action, insisting_type))
        return insist((Insisting *)action, returned_ns);
    PyObject *answer = PyObject_CallNoArgs(action);
    *returned_ns = lab_now_ns();
    Py_XDECREF(answer);
    return answer ? 0 : -1;
}

static PyObject *call_call(PyObject *self, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    uint64_t ignored;
    return !PyArg_ParseTuple(arguments, "") || lab_act(self, &ignored) < 0 ? NULL : Py_NewRef(Py_None);
}

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "One call of fcntl(2) or flock(2), to be made as often as it is called."},
    {Py_tp_new, call_new},
    {Py_tp_dealloc, call_dealloc},
    {Py_tp_call, call_call},
    {0, NULL},
};

static PyType_Slot insisting_slots[] = {
    {Py_tp_doc, "Insisting(call, log, turn): the call, made again until granted; yields after `turn` refusals, which are counted."},
    {Py_tp_new, insisting_new},
    {Py_tp_dealloc, insisting_dealloc},
    {Py_tp_call, call_call},
    {0, NULL},
};

static PyType_Spec insisting_spec = {"lab.locking._native.Insisting", sizeof(Insisting), 0, Py_TPFLAGS_DEFAULT,
                                     insisting_slots};
static PyType_Spec call_spec = {"lab.locking._native.Call", sizeof(Call), 0, Py_TPFLAGS_DEFAULT, call_slots};
static void count_fork(void) { forks++; }

static int module_exec(PyObject *module)
{
    PyObject *protocol = PyImport_ImportModule("lab.locking.protocol");
    lab_typed = protocol ? PyObject_GetAttrString(protocol, "typed") : NULL;
    Py_XDECREF(protocol);
    call_type = lab_typed ? (PyTypeObject *)PyType_FromSpec(&call_spec) : NULL;
    insisting_type = call_type ? (PyTypeObject *)PyType_FromSpec(&insisting_spec) : NULL;
    if (!insisting_type || PyModule_AddType(module, call_type) < 0 || PyModule_AddType(module, insisting_type) < 0
        || PyModule_AddIntConstant(module, "FLOCK", FLOCK) < 0 || lab_add_recorder(module) < 0
        || lab_add_calls(module) < 0)
        return -1;
    errno = pthread_atfork(NULL, NULL, count_fork);
    return errno ? PyErr_SetFromErrno(PyExc_OSError), -1 : 0;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.locking._native",
    .m_doc = "fcntl(2), flock(2) and the recorders of holds and calls, compiled.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__native(void) { return PyModuleDef_Init(&module_definition); }
