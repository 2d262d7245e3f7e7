/* Arrays that grow, and keys that each have a number. */

#include "_walk.h"

void *array_grow(Array *array, size_t count)
{
    if (array->room - array->count < count) {
        size_t room = array->room + array->room / 2 + count + 64;
        char *data = realloc(array->data, room * array->width);
        if (!data)
            return NULL;
        array->data = data;
        array->room = room;
    }
    void *place = array->data + array->width * array->count;
    array->count += count;
    return place;
}

void *array_add(Array *array, size_t count)
{
    void *place = array_grow(array, count);
    return place ? memset(place, 0, array->width * count) : NULL;
}

uint64_t key_word_hash(uint64_t word, size_t place)
{
    word += (place + 1) * 0x9e3779b97f4a7c15u;
    word = (word ^ word >> 32) * 0xd6e8feb86659fd93u;
    word = (word ^ word >> 32) * 0xd6e8feb86659fd93u;
    return word ^ word >> 32;
}

uint64_t key_hash(const uint64_t *key, size_t words)
{
    uint64_t hash = 0;
    for (size_t place = 0; place < words; place++)
        hash ^= key_word_hash(key[place], place);
    return hash;
}

const uint64_t *key_of(const Keys *keys, uint32_t number)
{
    return (const uint64_t *)(const void *)keys->keys.data + number * keys->words;
}

static int grow_slots(Keys *keys)
{
    size_t count = keys->slot_count ? 2 * keys->slot_count : 256;
    uint32_t *slots = malloc(count * sizeof *slots);
    if (!slots)
        return -1;
    memset(slots, 0xff, count * sizeof *slots);
    for (size_t number = 0; number < keys->keys.count; number++) {
        size_t at = key_hash(key_of(keys, (uint32_t)number), keys->words) & (count - 1);
        while (slots[at] != NONE)
            at = (at + 1) & (count - 1);
        slots[at] = (uint32_t)number;
    }
    free(keys->slots);
    keys->slots = slots;
    keys->slot_count = count;
    return 0;
}

/* Return the slot of a key, or the empty one where it belongs. */
static size_t slot_of(const Keys *keys, const uint64_t *key, uint64_t hash)
{
    size_t at = hash & (keys->slot_count - 1);
    while (keys->slots[at] != NONE && memcmp(key_of(keys, keys->slots[at]), key, keys->words * sizeof *key))
        at = (at + 1) & (keys->slot_count - 1);
    return at;
}

uint32_t key_find(const Keys *keys, const uint64_t *key, uint64_t hash)
{
    return keys->slot_count ? keys->slots[slot_of(keys, key, hash)] : NONE;
}

uint32_t key_number(Keys *keys, const uint64_t *key, uint64_t hash)
{
    size_t size = keys->words * sizeof *key;
    if (3 * (keys->keys.count + 1) > 2 * keys->slot_count && grow_slots(keys) < 0)
        return NONE;
    size_t at = slot_of(keys, key, hash);
    if (keys->slots[at] != NONE)
        return keys->slots[at];
    keys->keys.width = size;
    void *place = keys->keys.count < NONE ? array_add(&keys->keys, 1) : NULL;
    if (!place)
        return NONE;
    memcpy(place, key, size);
    return keys->slots[at] = (uint32_t)(keys->keys.count - 1);
}

void keys_free(Keys *keys)
{
    free(keys->keys.data);
    free(keys->slots);
}
