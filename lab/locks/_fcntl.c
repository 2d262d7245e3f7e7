/* One fcntl(2) call with a struct flock, packed beforehand: what functools.partial(fcntl.fcntl, ...) does in
 * lab/locks/posix.py where this is not built, without packing an answer that nobody reads. */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    int descriptor, command;
    struct flock range;
} Call;

/* A request may wait, and does so without the GIL; an unlock waits for no other holder, so it keeps the GIL. A signal's handler runs and the
 * call goes on, as in PEP 475. */
static PyObject *call_once(PyObject *object, PyObject *const *arguments, size_t count, PyObject *names)
{
    Call *self = (Call *)object;
    int result;
    (void)arguments;
    if (PyVectorcall_NARGS(count) || names) {
        PyErr_SetString(PyExc_TypeError, "a Call takes no arguments");
        return NULL;
    }
    do {
        struct flock range = self->range; /* another thread may be in the same call */
        if (range.l_type == F_UNLCK) {
            result = fcntl(self->descriptor, self->command, &range);
        } else {
            Py_BEGIN_ALLOW_THREADS
            result = fcntl(self->descriptor, self->command, &range);
            Py_END_ALLOW_THREADS
        }
    } while (result < 0 && errno == EINTR && !PyErr_CheckSignals());
    if (result < 0)
        return PyErr_Occurred() ? NULL : PyErr_SetFromErrno(PyExc_OSError);
    Py_RETURN_NONE;
}

static int call_init(Call *self, PyObject *arguments, PyObject *named)
{
    static char *names[] = {"descriptor", "command", "flock", NULL};
    const char *packed;
    Py_ssize_t size;
    int descriptor, command;
    if (!PyArg_ParseTupleAndKeywords(arguments, named, "iiy#", names, &descriptor, &command, &packed, &size))
        return -1;
    if (size != sizeof self->range) {
        PyErr_Format(PyExc_ValueError, "a struct flock has %zu bytes, not %zd", sizeof self->range, size);
        return -1;
    }
    self->vectorcall = call_once;
    self->descriptor = descriptor;
    self->command = command;
    memcpy(&self->range, packed, sizeof self->range);
    return 0;
}

static PyMemberDef call_members[] = {
    {"__vectorcalloffset__", T_PYSSIZET, offsetof(Call, vectorcall), READONLY, NULL},
    {NULL, 0, 0, 0, NULL},
};

static PyType_Slot call_slots[] = {
    {Py_tp_doc, "Call(descriptor, command, flock): one fcntl(2) call, to be made as often as it is called."},
    {Py_tp_init, call_init},
    {Py_tp_call, PyVectorcall_Call},
    {Py_tp_members, call_members},
    {0, NULL},
};

static PyType_Spec call_spec = {
    .name = "lab.locks._fcntl.Call",
    .basicsize = sizeof(Call),
    .flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL,
    .slots = call_slots,
};

static int module_exec(PyObject *module)
{
    PyObject *type = PyType_FromSpec(&call_spec);
    if (!type)
        return -1;
    int added = PyModule_AddObjectRef(module, "Call", type);
    Py_DECREF(type);
    return added;
}

static PyModuleDef_Slot module_slots[] = {{Py_mod_exec, module_exec}, {0, NULL}};

static PyModuleDef module_definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "lab.locks._fcntl",
    .m_doc = "fcntl(2) with a struct flock, compiled.",
    .m_slots = module_slots,
};

PyMODINIT_FUNC PyInit__fcntl(void) { return PyModuleDef_Init(&module_definition); }
