/* The composed world, one step at a time: what lab/exploring/world.py does, over numbers. Python is asked what is met
 * for the first time: the node after a result, what the lock does, whether the invariant holds. */

#include "_walk.h"

enum { DROP = 0x40000000, IS_FREE = 0x50000000, PART = 0x60000000 }; /* beside the numbers of lock operations; a worker
                                                                      * is added to DROP and PART */
static const uint32_t MORE_THAN_NODE = 0x80000000; /* in a part that is a number of more than a node */
enum { NOT_JUDGED, HOLDS, BROKEN };

typedef struct { uint64_t hash; size_t data; uint32_t node, following, before; int worker; } Load;

/* Ask Python by this method, with these arguments, for integers; -1 where it raised. */
static int ask(const World *world, const char *method, PyObject *arguments, const char *format, ...)
{
    PyObject *bound = arguments ? PyObject_GetAttrString(world->python, method) : NULL;
    PyObject *answer = bound ? PyObject_CallObject(bound, arguments) : NULL;
    va_list places;
    va_start(places, format);
    int done = answer && PyArg_VaParse(answer, format, places) ? 0 : -1;
    va_end(places);
    Py_XDECREF(answer);
    Py_XDECREF(bound);
    Py_XDECREF(arguments);
    return done;
}

static int no_memory(void)
{
    PyErr_NoMemory();
    return -1;
}

/* Say what is not known: -1 in a world that only reads. */
static int unknown(World *world, uint64_t what)
{
    world->unknown = what;
    return -1;
}

/* Return the number of a key of the world, or NONE: it has none and the world only reads, or there is no memory. */
static uint32_t number_of(World *world, Keys *keys, const uint64_t *key, uint64_t hash)
{
    uint32_t number = world->reading ? key_find(keys, key, hash) : key_number(keys, key, hash);
    if (number == NONE)
        world->reading ? unknown(world, hash) : no_memory();
    return number;
}

static const char *bytes_of(const World *world, uint32_t content)
{
    return (const char *)key_of(&world->contents, content);
}

PyObject *world_state(const World *world)
{
    PyObject *at = PyTuple_New(world->workers);
    for (int worker = 0; at && worker < world->workers; worker++)
        PyTuple_SetItem(at, worker, PyLong_FromUnsignedLong(world->at[worker]));
    return at ? Py_BuildValue("Ny#kK", at, bytes_of(world, world->content), (Py_ssize_t)world->size,
                              (unsigned long)world->lock, (unsigned long long)world->news)
              : NULL;
}

int world_ended(const World *world, const char *path, size_t length, int cut, int *over)
{
    int breaks;
    PyObject *arguments = Py_BuildValue("y#Ni", path, (Py_ssize_t)length, world_state(world), cut);
    return ask(world, "ended", arguments, "pp", &breaks, over) < 0 ? -1 : breaks;
}

int world_late(const World *world, int *over)
{
    PyObject *late = PyObject_CallMethod(world->python, "late", NULL);
    int answer = late ? PyObject_IsTrue(late) : -1;
    Py_XDECREF(late);
    *over |= answer > 0;
    return answer < 0 ? -1 : 0;
}

/* Number the content in `scratch`, and go on with it. */
static int set_content(World *world, uint64_t hash)
{
    uint32_t number = number_of(world, &world->contents, world->scratch, hash);
    if (number == NONE)
        return -1;
    if (number == world->hashes.count) {
        uint64_t *place = array_add(&world->hashes, 1);
        if (!place || !array_add(&world->judged, 1))
            return no_memory();
        *place = hash;
    }
    world->content = number;
    return 0;
}

/* Store the bytes; the hash is changed only by the words that change. */
static int change(World *world, const char *data, size_t start, size_t end)
{
    const uint64_t *old = key_of(&world->contents, world->content);
    uint64_t *new = world->scratch, hash = *AT(uint64_t, world->hashes, world->content);
    memcpy(new, old, world->words * 8);
    memcpy((char *)new + start, data, end - start);
    for (size_t place = start / 8; place < (end + 7) / 8; place++)
        if (old[place] != new[place])
            hash ^= key_word_hash(old[place], place) ^ key_word_hash(new[place], place);
    return set_content(world, hash);
}

/* Return a worker's node, as far as it is known; NULL without memory. */
static Node *node_of(World *world, int worker, uint32_t number)
{
    Array *tree = &world->trees[worker];
    while (tree->count <= number)
        if (!array_add(tree, 1))
            return NULL;
    return AT(Node, *tree, number);
}

static int describe(World *world, int worker, uint32_t number)
{
    Node *node = node_of(world, worker, number);
    if (!node)
        return no_memory();
    if (node->known)
        return 0;
    int kind, ended, tells, between;
    unsigned operation, start, end;
    if (ask(world, "node", Py_BuildValue("iI", worker, number), "iiiiIII", &kind, &ended, &tells, &between, &operation,
            &start, &end) < 0)
        return -1;
    *node_of(world, worker, number) = (Node){
        .kind = (int8_t)kind, .known = 1, .ended = (uint8_t)ended, .tells = (uint8_t)tells, .between = (uint8_t)between,
        .operation = operation, .start = start, .end = end, .next = NONE, .refused = NONE};
    return 0;
}

/* Learn the node after this one for what it has met, a stolen reference, and what it stores, which the node keeps. */
static int learn(World *world, int worker, uint32_t number, PyObject *met, uint32_t *following)
{
    PyObject *data;
    unsigned found;
    int spins;
    if (ask(world, "learn", met ? Py_BuildValue("iIN", worker, number, met) : NULL, "ISp", &found, &data, &spins) < 0)
        return -1;
    Node *node = node_of(world, worker, number);
    char *bytes;
    Py_ssize_t size;
    if (node->kind == STORE && node->next == NONE) {
        if (PyBytes_AsStringAndSize(data, &bytes, &size) < 0)
            return -1;
        node->data = world->store_data.count;
        char *place = array_add(&world->store_data, (size_t)size);
        if (!place)
            return no_memory();
        memcpy(place, bytes, (size_t)size);
    }
    world->spins = spins;
    *following = found;
    return describe(world, worker, found);
}

static uint64_t load_hash(int worker, uint32_t number, const char *data, size_t size)
{
    uint64_t hash = key_word_hash((uint64_t)worker << 32 | number, 0), word;
    for (size_t at = 0; at < size; at += sizeof word) {
        word = 0;
        memcpy(&word, data + at, size - at < sizeof word ? size - at : sizeof word);
        hash ^= key_word_hash(word, at + 1);
    }
    return hash;
}

static int grow_loads(World *world)
{
    size_t count = world->load_slot_count ? 2 * world->load_slot_count : 256;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (!slots)
        return no_memory();
    memset(slots, 0xff, count * sizeof *slots);
    for (size_t number = 0; number < world->loads.count; number++) {
        Load *load = AT(Load, world->loads, number);
        load->before = slots[load->hash & (count - 1)];
        slots[load->hash & (count - 1)] = (uint32_t)number;
    }
    free(world->load_slots);
    world->load_slots = slots;
    world->load_slot_count = count;
    return 0;
}

/* Return the node after a load of the bytes that are there now. */
static int after_load(World *world, int worker, uint32_t number, uint32_t *following)
{
    const Node *node = AT(Node, world->trees[worker], number);
    size_t start = node->start, size = node->end - node->start;
    const char *data = bytes_of(world, world->content) + start;
    if (!world->reading && world->loads.count >= world->load_slot_count && grow_loads(world) < 0)
        return -1;
    uint64_t hash = load_hash(worker, number, data, size);
    if (!world->load_slot_count)
        return unknown(world, hash);
    uint32_t *slot = &world->load_slots[hash & (world->load_slot_count - 1)];
    for (uint32_t at = *slot; at != NONE; at = AT(Load, world->loads, at)->before) {
        const Load *load = AT(Load, world->loads, at);
        if (load->hash == hash && load->worker == worker && load->node == number &&
            !memcmp(world->load_data.data + load->data, data, size)) {
            *following = load->following;
            return 0;
        }
    }
    if (world->reading)
        return unknown(world, hash);
    size_t kept = world->load_data.count;
    char *place = array_add(&world->load_data, size);
    if (!place)
        return no_memory();
    memcpy(place, data, size);
    if (learn(world, worker, number, PyBytes_FromStringAndSize(data, (Py_ssize_t)size), following) < 0)
        return -1;
    Load *load = array_add(&world->loads, 1);
    if (!load)
        return no_memory();
    *load = (Load){hash, kept, number, *following, *slot, worker};
    *slot = (uint32_t)(world->loads.count - 1);
    return 0;
}

/* Return what the lock does in this state: for an operation, for a worker that is gone, or whether it is free; or what
 * a worker has of it. */
static const Answer *lock_step(World *world, uint32_t lock, uint32_t operation, int worker)
{
    uint64_t key = (uint64_t)lock << 32 | operation;
    uint32_t number = number_of(world, &world->lock_steps, &key, key_hash(&key, 1));
    if (number == NONE)
        return NULL;
    if (number < world->answers.count)
        return AT(Answer, world->answers, number);
    const char *method = operation >= PART      ? "part"
                         : operation == IS_FREE ? "is_free"
                         : operation >= DROP    ? "drop"
                                                : "lock_step";
    int blocker;
    unsigned after;
    if (ask(world, method, Py_BuildValue("IIi", lock, operation, worker), "iI", &blocker, &after) < 0)
        return NULL;
    Answer *answer = array_add(&world->answers, 1);
    if (!answer)
        return no_memory(), NULL;
    *answer = (Answer){blocker, after};
    return answer;
}

static const Node *now(const World *world, int worker)
{
    return AT(Node, world->trees[worker], world->at[worker]);
}

/* Return the worker that keeps this one's next request from being granted, -1 where there is none; -2 on an error. */
static int blocker_of(World *world, int worker)
{
    const Node *node = now(world, worker);
    if (node->kind != LOCK || node->ended)
        return -1;
    const Answer *answer = lock_step(world, world->lock, node->operation, worker);
    return answer ? answer->blocker : -2;
}

/* 1 where the worker waits for its lock; where every worker from the blocker on waits for it, it is refused instead. */
static int waits(World *world, int worker)
{
    const Node *node = now(world, worker);
    if (node->kind != LOCK)
        return 0;
    const Answer *answer = lock_step(world, world->lock, node->operation, worker);
    if (!answer)
        return -1;
    if (answer->blocker < 0 || answer->after != world->lock)
        return 0;
    int owner = answer->blocker;
    for (int step = 0; world->detects && step < world->ring && owner >= 0; step++) {
        owner = blocker_of(world, owner);
        if (owner == -2)
            return -1;
        if (owner == worker)
            return 0;
    }
    return 1;
}

/* 1 where the invariant does not hold while no worker is inside. */
static int broken(World *world)
{
    int free = 1, all_ended = 1;
    for (int worker = 0; worker < world->workers; worker++) {
        free &= now(world, worker)->between;
        all_ended &= now(world, worker)->ended;
    }
    if (world->locked) {
        const Answer *answer = lock_step(world, world->lock, IS_FREE, 0);
        if (!answer)
            return -1;
        free = answer->blocker;
    }
    if (!free || !(world->in_between || all_ended))
        return 0;
    uint8_t *judged = AT(uint8_t, world->judged, world->content);
    if (*judged == NOT_JUDGED) {
        int found;
        if (world->reading)
            return unknown(world, *AT(uint64_t, world->hashes, world->content));
        if (ask(world, "broken", world_state(world), "p", &found) < 0)
            return -1;
        *AT(uint8_t, world->judged, world->content) = found ? BROKEN : HOLDS;
        return found;
    }
    return *judged == BROKEN;
}

int world_choices(World *world, uint64_t *choices)
{
    uint64_t spinning = 0;
    *choices = 0;
    if (world->has_invariant) {
        int found = broken(world);
        if (found)
            return found < 0 ? -1 : 0;
    }
    for (int worker = 0; worker < world->workers; worker++) {
        const Node *node = now(world, worker);
        int waiting = node->ended ? 1 : world->locked ? waits(world, worker) : 0;
        if (waiting < 0)
            return -1;
        *choices |= (uint64_t)!waiting << worker;
        if (node->kind == PAUSE && !(world->news >> worker & 1))
            spinning |= (uint64_t)1 << worker;
    }
    if (world->spins && *choices & ~spinning)
        *choices &= ~spinning;
    return 0;
}

/* Learn, if it has to be, the only node after one whose step meets nothing. */
static int after_others(World *world, int worker, uint32_t number, uint32_t *following)
{
    *following = AT(Node, world->trees[worker], number)->next;
    if (*following != NONE)
        return 0;
    if (world->reading)
        return unknown(world, key_word_hash(number, (size_t)worker));
    if (learn(world, worker, number, Py_NewRef(Py_None), following) < 0)
        return -1;
    AT(Node, world->trees[worker], number)->next = *following;
    return 0;
}

static int after_lock(World *world, int worker, uint32_t number, uint32_t *following)
{
    const Answer *answer = lock_step(world, world->lock, now(world, worker)->operation, worker);
    if (!answer)
        return -1;
    int refused = answer->blocker >= 0;
    uint32_t lock = answer->after;
    if (refused && lock != world->lock) { /* it releases what it holds, and waits */
        world->lock = lock;
        *following = number;
        return 0;
    }
    Node *node = AT(Node, world->trees[worker], number);
    *following = refused ? node->refused : node->next;
    if (*following == NONE) {
        if (world->reading)
            return unknown(world, key_word_hash(number, (size_t)worker));
        if (learn(world, worker, number, PyBool_FromLong(refused), following) < 0)
            return -1;
        node = AT(Node, world->trees[worker], number);
        *(refused ? &node->refused : &node->next) = *following;
    }
    world->lock = lock;
    return 0;
}

int world_step(World *world, int worker)
{
    uint32_t number = world->at[worker], following;
    int kind = now(world, worker)->kind, done;
    if (kind == LOAD)
        done = after_load(world, worker, number, &following);
    else if (kind == LOCK)
        done = after_lock(world, worker, number, &following);
    else
        done = after_others(world, worker, number, &following);
    if (done < 0)
        return -1;
    const Node *node = AT(Node, world->trees[worker], number); /* learning moves the trees */
    if (kind == UNLOCK) {
        const Answer *answer = lock_step(world, world->lock, node->operation, worker);
        if (!answer)
            return -1;
        world->lock = answer->after;
    }
    if (world->lock && AT(Node, world->trees[worker], following)->ended) {
        const Answer *answer = lock_step(world, world->lock, DROP + (uint32_t)worker, worker);
        if (!answer)
            return -1;
        world->lock = answer->after;
    }
    if (world->spins && node->tells) {
        uint64_t others = (world->workers == 64 ? 0 : (uint64_t)1 << world->workers) - 1;
        others &= ~((uint64_t)1 << worker);
        world->news = kind == PAUSE ? world->news & others : world->news | others;
    }
    world->at[worker] = following;
    return kind == STORE ? change(world, world->store_data.data + node->data, node->start, node->end) : 0;
}

/* A worker's part is its node; with it stand its news, once there are any, and what it has of the lock where workers are
 * alike. Theirs are in order: it makes no difference which of them is where. */
int world_parts(World *world, uint32_t *parts)
{
    parts[0] = world->content;
    parts[1] = world->any_alike ? 0 : world->lock;
    parts += 2;
    memcpy(parts, world->at, (size_t)world->workers * sizeof *parts);
    for (int worker = 0; (world->any_alike || world->spins) && worker < world->workers; worker++) {
        uint64_t part = world->at[worker];
        if (world->spins)
            part |= (1 + (world->news >> worker & 1)) << 30;
        if (world->any_alike && world->lock) {
            const Answer *answer = lock_step(world, world->lock, PART + (uint32_t)worker, worker);
            if (!answer)
                return -1;
            part |= (uint64_t)answer->after << 32;
        }
        if (part != world->at[worker]) {
            uint32_t number = number_of(world, &world->parts, &part, key_hash(&part, 1));
            if (number == NONE)
                return -1;
            part = MORE_THAN_NODE | number;
        }
        parts[worker] = (uint32_t)part;
        for (int other = 0; world->any_alike && other < worker; other++)
            if (world->alike[other] == world->alike[worker] && parts[other] > parts[worker]) {
                parts[worker] = parts[other];
                parts[other] = (uint32_t)part;
                part = parts[worker];
            }
    }
    return 0;
}

int world_make(World *world, const char *bytes, size_t size)
{
    world->size = size;
    world->words = world->contents.words = size ? (size + 7) / 8 : 1;
    world->lock_steps.words = world->parts.words = 1;
    world->loads.width = sizeof(Load);
    world->answers.width = sizeof(Answer);
    world->hashes.width = 8;
    world->load_data.width = world->store_data.width = world->judged.width = 1;
    world->scratch = calloc(world->words, 8);
    if (!world->scratch)
        return no_memory();
    memcpy(world->scratch, bytes, size);
    if (set_content(world, key_hash(world->scratch, world->words)) < 0)
        return -1;
    for (int worker = 0; worker < world->workers; worker++) {
        world->trees[worker].width = sizeof(Node);
        if (describe(world, worker, 0) < 0)
            return -1;
    }
    return 0;
}

void world_free(World *world)
{
    for (int worker = 0; worker < MOST_WORKERS; worker++)
        free(world->trees[worker].data);
    Array *arrays[] = {&world->loads, &world->load_data, &world->store_data, &world->answers, &world->judged,
                       &world->hashes};
    for (size_t at = 0; at < sizeof arrays / sizeof *arrays; at++)
        free(arrays[at]->data);
    free(world->load_slots);
    free(world->scratch);
    keys_free(&world->contents);
    keys_free(&world->lock_steps);
    keys_free(&world->parts);
}
