/* Lock calls, compiled: fcntl(2) and flock(2), as lab/locking/kernel.py makes them in Python. The recorder of holds, in
 * lab/racing/_recorder.c, is built into the same module, so that it makes them without a call of Python. */

#define _GNU_SOURCE /* dladdr(3) */
#include "_call.h"
#include <dlfcn.h>
#include <pthread.h>
#include <sched.h>

PyTypeObject *lab_call_type;
static PyTypeObject *insisting_type;
PyObject *lab_typed;
unsigned lab_forks;
int lab_uses_library;

static PyObject *call_new(PyTypeObject *type, PyObject *arguments, PyObject *Py_UNUSED(named))
{
    int descriptor, command;
    short kind;
    long long start = 0, length = 0;
    PyObject *unlock = NULL;
    if (!PyArg_ParseTuple(arguments, "iih|LLO!", &descriptor, &command, &kind, &start, &length, lab_call_type, &unlock))
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

/* This stands where an OSError names a file: lab.errors.refusal sees by it that the lab's own call was refused. */
static const char *name_of(const Call *self)
{
    switch (self->command) {
    case FLOCK: return "flock";
    case F_OFD_SETLK: case F_OFD_SETLKW: return "F_OFD_SETLK";
    default: return "F_SETLK";
    }
}

int lab_again(const Call *self, uint64_t *returned_ns)
{
    int failed = EINTR;
    while (failed == EINTR) {
        if (PyErr_CheckSignals())
            return -1;
        failed = lab_attempt(self, returned_ns);
    }
    return failed;
}

int lab_raise(const Call *self, int failed)
{
    if (failed > 0) {
        errno = failed;
        PyErr_SetFromErrnoWithFilename(PyExc_OSError, name_of(self));
    }
    return -1;
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
    if (self && PyArg_ParseTuple(arguments, "O!w*I", lab_call_type, &call, &self->log, &self->turn)) {
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
    int failed;
    while ((failed = lab_try_call(self->call, returned_ns))) {
        if (failed == EAGAIN || failed == EACCES)
            log[REFUSED]++;
        else if (failed == EDEADLK)
            log[DEADLOCKS]++;
        else
            return lab_raise(self->call, failed);
        if (++refused % self->turn == 0)
            sched_yield();
        if (PyErr_CheckSignals())
            return -1;
    }
    return 0;
}

int lab_act_otherwise(PyObject *action, uint64_t *returned_ns)
{
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
static void count_fork(void) { lab_forks++; }

/* Say whether a lock call of the C library's name is another library's. */
static int is_replaced(void *call)
{
    Dl_info mine, theirs;
    return !dladdr(call, &mine) || !dladdr((void *)getpid, &theirs) || mine.dli_fbase != theirs.dli_fbase;
}

PyTypeObject *lab_add_type(PyObject *module, PyType_Spec *spec)
{
    PyTypeObject *type = (PyTypeObject *)PyType_FromSpec(spec);
    if (type && PyModule_AddType(module, type) < 0)
        Py_CLEAR(type);
    return type;
}

int lab_add_words(PyObject *module, const char *name, const Word *words, size_t count)
{
    PyObject *made = PyDict_New();
    int added = made ? 0 : -1;
    for (size_t at = 0; !added && at < count; at++) {
        PyObject *value = PyLong_FromLong(words[at].value);
        added = value ? PyDict_SetItemString(made, words[at].name, value) : -1;
        Py_XDECREF(value);
    }
    if (!added)
        added = PyModule_AddObjectRef(module, name, made);
    Py_XDECREF(made);
    return added;
}

static int module_exec(PyObject *module)
{
    PyObject *protocol = PyImport_ImportModule("lab.locking.protocol");
    lab_typed = protocol ? PyObject_GetAttrString(protocol, "typed") : NULL;
    Py_XDECREF(protocol);
    lab_call_type = lab_typed ? lab_add_type(module, &call_spec) : NULL;
    insisting_type = lab_call_type ? lab_add_type(module, &insisting_spec) : NULL;
    if (!insisting_type || PyModule_AddIntConstant(module, "FLOCK", FLOCK) < 0 || lab_add_recorder(module) < 0
        || lab_add_calls(module) < 0)
        return -1;
    lab_uses_library = is_replaced((void *)fcntl) || is_replaced((void *)flock);
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
