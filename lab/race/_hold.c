/* The recorder of lab/race/hold.py, compiled: same arguments, same records, same errors.
 *
 * The record's layout is described in lab/race/log.py. The calls that lock and unlock stay Python objects: the
 * recorder serves every lock, and lab/locks stays the only place that knows system calls. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <stdint.h>
#include <time.h>

enum { CURSOR, UNRECORDED };                                    /* words of the header */
enum { REQUESTED_NS, GRANTED_NS, RELEASED_NS, SPAN, RECORD };  /* words of a record */

typedef struct {
    PyObject_HEAD
    PyObject *acquire, *release;
    Py_buffer log, histogram; /* histogram.buf is NULL where none was given */
    uint64_t span;
    uint64_t slot; /* where the present hold is recorded; 0: it found the segment full */
} Hold;

enum { PRECISION_BITS = 7, LONGEST_BITS = 40, BUCKETS = (LONGEST_BITS - PRECISION_BITS + 1) << PRECISION_BITS };

static PyObject *deadlock; /* lab.locks.Deadlock */

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* lab.model.histogram.bucket */
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

static int hold_init(Hold *self, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"acquire", "release", "log", "span", "histogram", NULL};
    PyObject *acquire, *release, *log, *histogram = Py_None;
    unsigned long long span;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "OOOK|O", names, &acquire, &release, &log, &span, &histogram))
        return -1;
    if (self->acquire) {
        PyErr_SetString(PyExc_TypeError, "a Hold is initialised once");
        return -1;
    }
    if (PyObject_GetBuffer(log, &self->log, PyBUF_WRITABLE) < 0)
        return -1;
    if (histogram != Py_None && PyObject_GetBuffer(histogram, &self->histogram, PyBUF_WRITABLE) < 0) {
        PyBuffer_Release(&self->log);
        return -1;
    }
    if (self->histogram.obj && self->histogram.len != BUCKETS * sizeof(uint64_t)) {
        PyErr_Format(PyExc_ValueError, "a histogram has %d words, not %zd", BUCKETS,
                     self->histogram.len / (Py_ssize_t)sizeof(uint64_t));
        PyBuffer_Release(&self->histogram);
        PyBuffer_Release(&self->log);
        return -1;
    }
    self->acquire = Py_NewRef(acquire);
    self->release = Py_NewRef(release);
    self->span = span;
    return 0;
}

static void hold_dealloc(Hold *self)
{
    PyTypeObject *type = Py_TYPE(self);
    if (self->acquire) {
        PyBuffer_Release(&self->histogram);
        PyBuffer_Release(&self->log);
    }
    Py_XDECREF(self->acquire);
    Py_XDECREF(self->release);
    type->tp_free((PyObject *)self);
    Py_DECREF(type);
}

/* An OSError with errno EDEADLK becomes a Deadlock with the same arguments. */
static void name_deadlock(void)
{
    PyObject *kind, *error, *trace;
    if (!PyErr_ExceptionMatches(PyExc_OSError))
        return;
    PyErr_Fetch(&kind, &error, &trace);
    PyErr_NormalizeException(&kind, &error, &trace);
    PyObject *number = PyObject_GetAttrString(error, "errno");
    PyObject *arguments = PyObject_GetAttrString(error, "args");
    if (number && arguments && PyLong_Check(number) && PyLong_AsLong(number) == EDEADLK) {
        PyErr_SetObject(deadlock, arguments);
        Py_DECREF(kind);
        Py_DECREF(error);
        Py_XDECREF(trace);
    } else {
        PyErr_Clear();
        PyErr_Restore(kind, error, trace);
    }
    Py_XDECREF(number);
    Py_XDECREF(arguments);
}

static PyObject *hold_enter(Hold *self, PyObject *Py_UNUSED(ignored))
{
    if (!self->acquire) {
        PyErr_SetString(PyExc_TypeError, "this Hold was not initialised");
        return NULL;
    }
    uint64_t *log = self->log.buf;
    uint64_t slot = log[CURSOR];
    int fits = (slot + RECORD) * sizeof *log <= (uint64_t)self->log.len;
    uint64_t *record = log + slot;
    uint64_t requested_ns = now_ns();
    if (fits) {
        record[SPAN] = self->span;
        record[GRANTED_NS] = 0;
        record[REQUESTED_NS] = requested_ns;
    }
    PyObject *answer = PyObject_CallNoArgs(self->acquire);
    if (!answer) {
        if (fits)
            record[REQUESTED_NS] = 0;
        name_deadlock();
        return NULL;
    }
    if (fits) {
        record[GRANTED_NS] = now_ns();
        self->slot = slot;
        log[CURSOR] = slot + RECORD;
    } else {
        self->slot = 0;
        log[UNRECORDED]++;
        if (self->histogram.buf)
            ((uint64_t *)self->histogram.buf)[bucket(now_ns() - requested_ns)]++;
    }
    Py_DECREF(answer);
    Py_RETURN_NONE;
}

static PyObject *hold_exit(Hold *self, PyObject *const *Py_UNUSED(error), Py_ssize_t Py_UNUSED(count))
{
    if (!self->acquire) {
        PyErr_SetString(PyExc_TypeError, "this Hold was not initialised");
        return NULL;
    }
    if (self->slot)
        ((uint64_t *)self->log.buf)[self->slot + RELEASED_NS] = now_ns();
    PyObject *answer = PyObject_CallNoArgs(self->release);
    if (!answer)
        return NULL;
    Py_DECREF(answer);
    Py_RETURN_NONE;
}

static PyObject *module_bucket(PyObject *Py_UNUSED(module), PyObject *time_ns)
{
    unsigned long long value = PyLong_AsUnsignedLongLong(time_ns);
    return value == (unsigned long long)-1 && PyErr_Occurred() ? NULL : PyLong_FromUnsignedLongLong(bucket(value));
}

static PyMethodDef module_methods[] = {
    {"bucket", module_bucket, METH_O, "lab.model.histogram.bucket, as the recorder finds it."},
    {NULL, NULL, 0, NULL},
};

static PyMethodDef hold_methods[] = {
    {"__enter__", (PyCFunction)hold_enter, METH_NOARGS, "Acquire, and record when."},
    {"__exit__", (PyCFunction)(void (*)(void))hold_exit, METH_FASTCALL, "Record when, and release."},
    {NULL, NULL, 0, NULL},
};

static PyType_Slot hold_slots[] = {
    {Py_tp_doc, "A lock over one byte range, entered and left with every interval written down."},
    {Py_tp_init, hold_init},
    {Py_tp_dealloc, hold_dealloc},
    {Py_tp_methods, hold_methods},
    {0, NULL},
};

static PyType_Spec hold_spec = {
    .name = "lab.race._hold.Hold",
    .basicsize = sizeof(Hold),
    .flags = Py_TPFLAGS_DEFAULT,
    .slots = hold_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *locks = PyImport_ImportModule("lab.locks");
    if (!locks)
        return -1;
    Py_XSETREF(deadlock, PyObject_GetAttrString(locks, "Deadlock"));
    Py_DECREF(locks);
    PyObject *type = deadlock ? PyType_FromSpec(&hold_spec) : NULL;
    if (!type)
        return -1;
    int added = PyModule_AddObjectRef(module, "Hold", type);
    Py_DECREF(type);
    return added;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.race._hold",
    .m_doc = "The recorder of holds, compiled.",
    .m_methods = module_methods,
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__hold(void) { return PyModuleDef_Init(&module_definition); }
