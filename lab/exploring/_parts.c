/* What one thread does of a search in layers (_layers.c): steps from the states of its layer, and numbers for the states
 * that belong to it. Nothing here needs Python, but for a world that is not a copy that reads. */

#include "_layers.h"

enum { AHEAD = 6 }; /* so many messages ahead the slots of a key are fetched from memory */

int count_add(Count *to, Count more)
{
    to->low += more.low;
    int carry = to->low < more.low;
    return __builtin_add_overflow(to->high, more.high, &to->high) |
           __builtin_add_overflow(to->high, (uint64_t)carry, &to->high);
}

Entry *entry_in(const Array *array, size_t number)
{
    return (Entry *)(void *)(array->data + number * array->width);
}

static uint64_t *key_in(const Part *part, Entry *message)
{
    return (uint64_t *)(void *)((char *)message + part->layer.width);
}

void go_to(World *world, const Entry *entry)
{
    memcpy(world->at, entry->at, (size_t)world->workers * sizeof *world->at);
    world->content = entry->content;
    world->lock = entry->lock;
    world->news = entry->news;
}

/* Tell the owner of the world's state of it, by a message from this part. */
int part_tells(Part *part, World *world, Count ways, uint32_t from, int worker)
{
    uint32_t parts[MOST_WORKERS + 2];
    uint64_t key[MOST_WORKERS / 2 + 2];
    if (world_parts(world, parts) < 0)
        return -1;
    key[part->states.words - 1] = 0;
    memcpy(key, parts, (size_t)(world->workers + 2) * sizeof *parts);
    uint64_t hash = key_hash(key, part->states.words);
    Entry *message = array_grow(&part->sent[(hash >> 40) % (unsigned)part->of->jobs], 1);
    if (!message) {
        part->failed |= NO_MEMORY;
        return 0;
    }
    message->ways = ways;
    message->news = world->news;
    message->hash = hash;
    message->content = world->content;
    message->lock = world->lock;
    message->from = from;
    message->state = (uint32_t)worker;
    memcpy(message->at, world->at, (size_t)world->workers * sizeof *world->at);
    memcpy(key_in(part, message), key, part->states.words * sizeof *key);
    return 0;
}

static void add_end(Part *part, uint32_t entry)
{
    uint32_t *end = array_add(&part->ends, 1);
    if (end)
        *end = entry;
    else
        part->failed |= NO_MEMORY;
}

/* Do the steps of an entry that are left: -1 where one cannot be done; those from it on are left then. */
int part_goes_on(Part *part, World *world, Left *left)
{
    const Entry *entry = entry_in(&part->layer, left->entry);
    if (!left->chosen) {
        go_to(world, entry);
        if (world_choices(world, &left->waiting) < 0)
            return -1;
        left->chosen = 1;
        if (!left->waiting)
            add_end(part, left->entry);
    }
    for (; left->waiting; left->waiting &= left->waiting - 1) {
        int worker = __builtin_ctzll(left->waiting);
        go_to(world, entry);
        if (world_step(world, worker) < 0 || part_tells(part, world, entry->ways, entry->from, worker) < 0)
            return -1;
    }
    return 0;
}

/* Do the steps of an entry that are left, as far as the world is known; what is not waits. */
static void go_or_wait(Part *part, Left left)
{
    if (part_goes_on(part, &part->world, &left) == 0)
        return;
    left.unknown = part->world.unknown;
    Left *place = array_add(&part->left, 1);
    if (place)
        *place = left;
    else
        part->failed |= NO_MEMORY;
}

static void read_world(Part *part)
{
    part->world = part->of->world;
    part->world.scratch = part->scratch;
    part->world.reading = 1;
}

void part_goes_through(Part *part)
{
    size_t begin = part->of->begin, end = begin + CHUNK < part->layer.count ? begin + CHUNK : part->layer.count;
    read_world(part);
    for (size_t number = begin; number < end; number++)
        go_or_wait(part, (Left){.entry = (uint32_t)number});
}

void part_tries_again(Part *part)
{
    read_world(part);
    for (size_t number = 0; number < part->todo.count; number++)
        go_or_wait(part, *AT(Left, part->todo, number));
    part->todo.count = 0;
}

/* Number the state of a message: 0 without memory. */
static int receive(Part *part, Entry *message)
{
    uint32_t state = key_number(&part->states, key_in(part, message), message->hash), layer = part->of->depth + 1;
    if (state == NONE || part->steps.count >= NONE / MOST_JOBS)
        return 0;
    Place *place = state < part->places.count ? AT(Place, part->places, state) : array_add(&part->places, 1);
    if (!place)
        return 0;
    if (place->layer == layer) {
        if (count_add(&entry_in(&part->next, place->entry)->ways, message->ways))
            part->failed |= TOO_LARGE;
        return 1;
    }
    part->again += place->layer > 0;
    place->layer = layer;
    place->entry = (uint32_t)part->next.count;
    Entry *entry = array_grow(&part->next, 1);
    Step *step = array_grow(&part->steps, 1);
    if (!entry || !step)
        return 0;
    *step = (Step){message->from, (uint8_t)message->state};
    memcpy(entry, message, part->next.width);
    entry->from = (uint32_t)((part->steps.count - 1) * (size_t)part->of->jobs + (size_t)(part - part->of->parts));
    entry->state = state;
    return 1;
}

void part_numbers(Part *part)
{
    const Layers *layers = part->of;
    for (int sender = 0; sender < layers->jobs; sender++) {
        Array *sent = &layers->parts[sender].sent[part - layers->parts];
        for (size_t number = 0; number < sent->count; number++) {
            if (number + AHEAD < sent->count && part->states.slot_count)
                __builtin_prefetch(
                    &part->states.slots[entry_in(sent, number + AHEAD)->hash & (part->states.slot_count - 1)]);
            if (!receive(part, entry_in(sent, number)))
                part->failed |= NO_MEMORY;
        }
        sent->count = 0;
    }
}
