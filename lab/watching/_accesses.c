/* Accesses to mappings of shared files. The pages of such a mapping are closed to the program (PROT_NONE), so each access
   faults. The handler records it and lets the same instruction run on an alias, another mapping of the same bytes below
   2 GiB, from a slot of its own: the page stays closed, so other threads' accesses are seen too.

   A page that is used much and tells nothing new is opened until the next call that orders processes, and where it goes
   on to tell nothing for some of them. So is one whose instruction is not decoded. Both is recorded. What the kernel or the C library reads and writes on behalf of
   the program is given the alias: a closed page would be an error to them. */

#include "_watch.h"

#ifndef __x86_64__
void prepare_accesses(void) { level = CALLS; }
void watch_mapping(struct mapping *map) { map->watched = level == PAGES && watch_pages(map); }
void boundary(uint32_t stack) { if (level == PAGES && mapping_count) written_pages(stack); }
void *for_kernel(const void *at, size_t size, enum kind kind, void *caller, void *frame) { (void)size, (void)kind, (void)caller, (void)frame; return (void *)at; }
void *alias_of(const void *at) { return (void *)at; }
void passed(int64_t count) { (void)count; }
void has_read(const void *at, size_t size, void *caller, void *frame) { (void)at, (void)size, (void)caller, (void)frame; }
void leave_slot(void *context) { (void)context; }
int open_whole(struct mapping *map) { (void)map; return 0; }
int close_whole(struct mapping *map) { (void)map; return 0; }
#else
#include "_instructions.h"

enum { BUDGET = 64, LEAST = 4, QUIET = 4, LONGEST = 16, OPENED_PAGES = 1024, MOST_OPEN = 1 << 13, SPARE = 16, SEEN_PLACES = 1 << 14, WORDS = 1 << 12 };
enum { SLOT = 64, TURNS = 16, THREADS = 4096, HLT = 0xf4 };
enum { FOR_LOADS = 1, FOR_STORES = 2 };

static _Atomic uint32_t epoch = 1; /* between two calls that order processes */
static uint16_t budget = BUDGET; /* accesses to a page in an epoch that are seen one by one; 0: all */
static _Atomic uint32_t turn = 1; /* as the epoch, and after each atomic access */
static struct { char *at; uint32_t until; } opened_pages[OPENED_PAGES];
static _Atomic int opened_count; /* beyond the places: all pages have to be looked at */
static char *_Atomic spare; /* each second page is closed: as many parts of memory, for when the kernel allows no more */

/* -- Mappings */

static char *new_alias(char *at, size_t size, int protection)
{
    char *low = (char *)syscall(SYS_mmap, NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_32BIT, -1, 0);
    if (low == MAP_FAILED)
        return NULL;
    /* of a shared mapping, mremap makes a second one where the old size is 0 (mremap(2)) */
    if ((uintptr_t)low + size > 0x7ffff000u || syscall(SYS_mremap, at, 0, size, MREMAP_MAYMOVE | MREMAP_FIXED, low) != (long)low ||
        syscall(SYS_mprotect, low, size, protection)) {
        syscall(SYS_munmap, low, size);
        return NULL;
    }
    return low;
}

void watch_mapping(struct mapping *map)
{
    map->watched = level == PAGES && watch_pages(map);
    if (level != ACCESSES || map->protection & PROT_EXEC)
        return;
    size_t table_size = map->size / PAGE * sizeof *map->pages;
    char *alias = new_alias(map->at, map->size, map->protection);
    struct page *pages = alias ? (struct page *)syscall(SYS_mmap, NULL, table_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0) : MAP_FAILED;
    if (pages == MAP_FAILED) {
        if (alias)
            syscall(SYS_munmap, alias, map->size);
        syscall(SYS_mprotect, map->at, map->size, map->protection);
        return;
    }
    map->pages = pages;
    map->alias = alias;
    if (close_whole(map))
        open_whole(map);
}

void *alias_of(const void *at)
{
    struct mapping *map = level == ACCESSES && mapping_count ? mapping_at(at) : NULL;
    return map && map->alias ? map->alias + ((const char *)at - map->at) : (void *)at;
}

/* Each open page between closed ones is a part of memory of its own, of which a process may have 65,530
   (vm.max_map_count). The program needs its own; where the kernel allows no more, watching ends rather than the program. */
int open_whole(struct mapping *map)
{
    while (syscall(SYS_mprotect, map->at, map->size, map->protection)) {
        char *its = atomic_exchange(&spare, NULL);
        if (!its)
            return -1;
        syscall(SYS_munmap, its, SPARE * PAGE);
    }
    map->whole = 1;
    opened_count = OPENED_PAGES + 1;
    return 0;
}

int close_whole(struct mapping *map)
{
    if (syscall(SYS_mprotect, map->at, map->size, PROT_NONE))
        return -1;
    for (size_t k = 0; k < map->size / PAGE; k++)
        if (map->pages[k].open)
            map->pages[k].open = 0;
    map->whole = 0;
    return 0;
}

static struct event *note_page(enum kind kind, struct mapping *map, char *at, int flags)
{
    struct event *event = new_event(kind, now());
    if (event) {
        event->file = map->file;
        event->start = map->offset + (at - map->at);
        event->length = PAGE;
        event->flags = (uint16_t)flags;
        event->end = event->begin;
    }
    return event;
}

/* Returns whether the page was open for more than one epoch. */
static int close_page(char *at)
{
    struct mapping *map = mapping_at(at);
    if (!map || !map->alias || map->whole)
        return 0;
    struct page *page = &map->pages[(at - map->at) / PAGE];
    int stays = page->open & STAYS;
    if (page->open) {
        page->open = 0;
        syscall(SYS_mprotect, at, PAGE, PROT_NONE);
    }
    return stays;
}

void boundary(uint32_t stack)
{
    if (level == CALLS || !mapping_count)
        return;
    if (level == PAGES) {
        written_pages(stack);
        return;
    }
    atomic_fetch_add(&epoch, 1);
    atomic_fetch_add(&turn, 1);
    if (!opened_count)
        return;
    char *closed[OPENED_PAGES / 16]; /* what was open for long is recorded, without the table */
    int count = 0, kept = 0, all = opened_count > OPENED_PAGES;
    lock_table();
    for (int k = 0; k < opened_count && !all; k++)
        if ((int32_t)(opened_pages[k].until - epoch) > 0 || count == OPENED_PAGES / 16)
            opened_pages[kept++] = opened_pages[k];
        else if (close_page(opened_pages[k].at))
            closed[count++] = opened_pages[k].at;
    opened_count = kept;
    for (int k = 0; k < mapping_count && all; k++)
        if (mappings[k].at && mappings[k].alias && mappings[k].whole) {
            if (close_whole(&mappings[k]))
                opened_count = OPENED_PAGES + 1;
        } else
            for (char *at = mappings[k].alias ? mappings[k].at : NULL; at && at < mappings[k].at + mappings[k].size; at += PAGE)
                close_page(at);
    unlock_table();
    for (int k = 0; k < count; k++) {
        struct mapping *map = mapping_at(closed[k]);
        if (map)
            note_page(CLOSED, map, closed[k], 0);
    }
}

/* Open the page of an address until the next boundary, or all pages where they are too many. Where the library itself
   faults it may have the table. Returns whether the page stays closed, since the kernel refuses. */
static int open_page(struct mapping *map, char *address, int stores, int undecoded)
{
    char *at = map->at + (address - map->at) / PAGE * PAGE;
    struct page *page = &map->pages[(at - map->at) / PAGE];
    int own = inside > 1;
    uint32_t stay = undecoded || page->quiet < QUIET ? 0 : page->quiet - QUIET + 1u;
    int flags = stay > 1 ? STAYS : 0, kind = (stores ? EXCLUSIVE : SHARED) | (undecoded ? UNDECODED : 0);
    if (!own)
        note_page(OPENED, map, at, kind | flags);
    if (own)
        opened_count = OPENED_PAGES + 1;
    else
        lock_table();
    if (!page->open && opened_count < OPENED_PAGES) {
        opened_pages[opened_count].at = at;
        opened_pages[opened_count].until = epoch + stay;
    }
    opened_count += !page->open;
    page->open = (unsigned char)((stores ? FOR_STORES : FOR_LOADS) | flags | (page->open & STAYS));
    int fails = 0;
    if (opened_count > MOST_OPEN || syscall(SYS_mprotect, at, PAGE, stores ? map->protection : map->protection & ~PROT_WRITE)) {
        fails = open_whole(map);
        for (int k = 0; k < mapping_count && fails; k++) /* what they had is free then */
            if (mappings[k].at && mappings[k].alias && !open_whole(&mappings[k]))
                fails = open_whole(map);
    }
    if (!own)
        unlock_table();
    if (map->whole && !own) {
        struct event *event = note_page(OPENED, map, map->at, kind | EXCLUSIVE);
        if (event)
            event->length = (int64_t)map->size;
    }
    return fails;
}

/* -- What is recorded */

static struct { uint64_t key, count; struct event *event; uint32_t turn; } seen[SEEN_PLACES]; /* count: of all events, once it was recorded */
static uint64_t words[WORDS], sites[SEEN_PLACES];

static int is_word(uint64_t word) { return words[mixed(7, word) % WORDS] == word; }

/* One record is enough for what one place does again to the same bytes, until the next event that orders processes: it
   ends when the last of them began. A word that atomic instructions use orders processes itself: there, only what is done
   again with nothing in between needs no record. */
static int again(uint64_t key, int orders)
{
    uint64_t at = key % SEEN_PLACES;
    if (seen[at].key != key || seen[at].turn != atomic_load_explicit(&turn, memory_order_relaxed))
        return 0;
    if (orders && seen[at].count != atomic_load(&log_->count))
        return 0;
    seen[at].event->end = now();
    return 1;
}

static __thread struct event *last_access __attribute__((tls_model("initial-exec")));

static int record_access(enum kind kind, struct mapping *map, const char *address, int64_t size, void *ip, void *frame, int by_call)
{
    int64_t start = map->offset + (address - map->at);
    uint64_t word = ((uint64_t)map->file << 48) ^ (uint64_t)(start / 8) ^ (1ull << 63);
    uint64_t key = mixed(mixed(mixed(mixed(1, (uint64_t)ip), (uint64_t)start), (uint64_t)size), kind) | 1;
    if (kind == ATOMIC)
        words[mixed(7, word) % WORDS] = word;
    if (again(key, kind == ATOMIC || is_word(word)))
        return 0;
    uint32_t stack = by_call ? stack_of(ip, frame) : stack_of_access(ip, frame);
    struct event *event = new_event(kind, now());
    if (!event)
        return 0;
    event->file = map->file;
    event->stack = stack;
    event->start = start;
    event->length = size;
    event->end = event->begin;
    last_access = by_call ? event : NULL;
    if (kind == ATOMIC)
        atomic_fetch_add(&turn, 1);
    seen[key % SEEN_PLACES].count = atomic_load(&log_->count);
    seen[key % SEEN_PLACES].event = event;
    seen[key % SEEN_PLACES].turn = turn;
    seen[key % SEEN_PLACES].key = key;
    uint64_t site = mixed(mixed(mixed(3, (uint64_t)ip), (uint64_t)(start / PAGE)), kind) | 1;
    int is_new = sites[site % SEEN_PLACES] != site;
    sites[site % SEEN_PLACES] = site;
    return is_new;
}

/* Whether a page may be used on, one access at a time. A page that told nothing new in an epoch is allowed half as many
   in the next one; where locks are made of atomic instructions each access counts. */
static int is_within_budget(struct page *page, int is_new, int is_atomic)
{
    uint32_t era = epoch;
    if (page->epoch != era) {
        page->quiet = (unsigned char)(page->fresh || !page->epoch ? 0 : page->quiet < LONGEST ? page->quiet + 1 : LONGEST);
        if (!page->allowance || page->fresh)
            page->allowance = budget;
        else if (page->allowance > LEAST && page->epoch)
            page->allowance /= 2;
        page->epoch = era;
        page->spent = page->fresh = 0;
    }
    page->atomic |= (unsigned char)is_atomic;
    page->fresh |= (unsigned char)is_new;
    if (is_new)
        page->allowance = budget;
    return page->atomic || !budget || page->spent++ < page->allowance;
}

/* -- Slots */

struct slot { unsigned char code[39], length; uint64_t original; int64_t to_shift, from_shift; }; /* length: of the original */

static struct slot *slots;
static _Atomic unsigned char taken[THREADS];
static pthread_key_t slot_key;
static __thread unsigned slot_of __attribute__((tls_model("initial-exec"))), slot_turn __attribute__((tls_model("initial-exec")));

static void free_slot(void *its)
{
    slot_of = 0;
    taken[(uintptr_t)its - 1] = 0;
}

/* A thread has some slots, one after the other: a handler that the library does not know may come between the jump to one
   and the jump back. Those that it knows leave the slot first. */
static struct slot *next_slot(void)
{
    if (!slot_of)
        for (unsigned k = 0; k < THREADS && !slot_of; k++)
            if (!taken[k] && !atomic_exchange(&taken[k], 1)) {
                slot_of = k + 1;
                pthread_setspecific(slot_key, (void *)(uintptr_t)slot_of);
            }
    return slot_of ? &slots[(slot_of - 1) * TURNS + slot_turn++ % TURNS] : NULL;
}

static struct slot *slot_at(uint64_t address)
{
    uint64_t offset = address - (uint64_t)slots;
    return offset < (uint64_t)SLOT * TURNS * THREADS ? &slots[offset / SLOT] : NULL;
}

/* An instruction such as movs names its addresses by registers. They are those of the aliases while it runs; the
   privileged instruction behind it leads back to the handler, which sets them back. */
static int64_t shift_of(uint64_t address, uint64_t count, int backwards)
{
    struct mapping *map = mapping_at((void *)address);
    if (!map || !map->alias || backwards || count > map->size || address + count > (uint64_t)map->at + map->size)
        return 0;
    return map->alias - map->at;
}

static int run_string(const unsigned char *code, const struct instruction *its, greg_t *registers, int records)
{
    int loads = its->string <= 0xa7 || its->string >= 0xac, to = its->string != 0xac && its->string != 0xad;
    int from = its->string <= 0xa7 || its->string == 0xac || its->string == 0xad, compares = its->string == 0xa6 || its->string == 0xa7 || its->string >= 0xae;
    uint64_t count = (uint64_t)its->size * (its->repeat ? (uint64_t)registers[REG_RCX] : 1), told = compares ? (uint64_t)its->size : count;
    int backwards = registers[REG_EFL] >> 10 & 1;
    struct slot *slot = next_slot();
    if (!slot || count == 0)
        return 0;
    slot->to_shift = to ? shift_of((uint64_t)registers[REG_RDI], count, backwards) : 0;
    slot->from_shift = from ? shift_of((uint64_t)registers[REG_RSI], count, backwards) : 0;
    if (!slot->to_shift && !slot->from_shift)
        return 0;
    void *ip = (void *)registers[REG_RIP], *frame = (void *)registers[REG_RSP];
    if (slot->from_shift && records)
        record_access(LOAD, mapping_at((void *)registers[REG_RSI]), (char *)registers[REG_RSI], (int64_t)told, ip, frame, 0);
    if (slot->to_shift && records)
        record_access(compares || (loads && !from) ? LOAD : STORE, mapping_at((void *)registers[REG_RDI]), (char *)registers[REG_RDI], (int64_t)told, ip, frame, 0);
    memcpy(slot->code, code, (size_t)its->length);
    slot->code[its->length] = HLT;
    slot->length = (unsigned char)its->length;
    slot->original = (uint64_t)registers[REG_RIP];
    registers[REG_RDI] += slot->to_shift;
    registers[REG_RSI] += slot->from_shift;
    registers[REG_RIP] = (greg_t)slot->code;
    return 1;
}

static int run_elsewhere(const unsigned char *code, const struct instruction *its, greg_t *registers, uintptr_t target)
{
    struct slot *slot = next_slot();
    if (!slot || target > INT32_MAX)
        return 0;
    move_operand(slot->code, code, its, (uint32_t)target, (uint64_t)registers[REG_RIP] + (uint64_t)its->length);
    slot->length = (unsigned char)its->length;
    slot->original = (uint64_t)registers[REG_RIP];
    slot->to_shift = slot->from_shift = 0;
    registers[REG_RIP] = (greg_t)slot->code;
    return 1;
}

/* -- Faults */

/* What is in a slot is, to the program, at the instruction that the slot stands for; once that has run, behind it.
   Returns whether it has run. */
static int go_back(struct slot *slot, greg_t *registers)
{
    int done = (uint64_t)registers[REG_RIP] != (uint64_t)slot->code;
    registers[REG_RDI] -= slot->to_shift;
    registers[REG_RSI] -= slot->from_shift;
    registers[REG_RIP] = (greg_t)(slot->original + (done ? slot->length : 0u));
    return done;
}

void leave_slot(void *context)
{
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    struct slot *slot = slot_at((uint64_t)registers[REG_RIP]);
    if (slot)
        go_back(slot, registers);
}

/* A fault on an alias is the program's: it sees its own address. */
static struct mapping *to_own_address(siginfo_t *info)
{
    for (int k = 0; k < mapping_count; k++) {
        struct mapping *map = &mappings[k];
        if (info->si_code > 0 && map->at && map->alias && (uintptr_t)info->si_addr - (uintptr_t)map->alias < map->size)
            info->si_addr = map->at + ((char *)info->si_addr - map->alias);
    }
    return mapping_at(info->si_addr);
}

/* A fault of an instruction in a slot is the program's: it sees its own registers. */
static void fault_in_slot(struct slot *slot, int number, siginfo_t *info, void *context)
{
    int strings = slot->to_shift || slot->from_shift;
    if (go_back(slot, ((ucontext_t *)context)->uc_mcontext.gregs) && strings && info->si_code > 0)
        return; /* the instruction behind it has led back */
    struct mapping *map = to_own_address(info);
    if (map && map->alias) /* it may run into the fault again by itself */
        open_page(map, info->si_addr, 1, 1);
    pass_on(number, info, context);
}

/* A page may have been closed when it was touched, and be none of ours by now: another thread unmaps it, or moves it, and
   has the table meanwhile. The instruction is run again, once; what faults twice is the program's own fault. */
static int is_changing(greg_t ip, const char *address)
{
    static __thread struct { greg_t ip; const char *address; } last __attribute__((tls_model("initial-exec")));
    if (inside || (last.ip == ip && last.address == address)) {
        last.ip = 0;
        return 0;
    }
    lock_table();
    unlock_table();
    last.ip = ip;
    last.address = address;
    return 1;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
    int error = errno;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    char *address = info->si_addr;
    struct slot *slot = slot_at((uint64_t)registers[REG_RIP]);
    struct mapping *map = number == SIGSEGV && info->si_code == SEGV_ACCERR ? mapping_at(address) : NULL;
    int stores = registers[REG_ERR] >> 1 & 1, records = recording();
    if (!slot && !map && number == SIGSEGV && info->si_code == SEGV_ACCERR && is_changing(registers[REG_RIP], address)) {
        errno = error;
        return;
    }
    inside++;
    if (slot)
        fault_in_slot(slot, number, info, context);
    else if (!map || !map->alias || registers[REG_ERR] & 16 || !(map->protection & (stores ? PROT_WRITE : PROT_READ | PROT_WRITE))) {
        to_own_address(info);
        pass_on(number, info, context);
    } else {
        const unsigned char *code = (const unsigned char *)registers[REG_RIP];
        struct instruction its;
        int done = 0, known = decode(code, &its);
        struct page *page = &map->pages[(address - map->at) / PAGE];
        if (known && its.string)
            done = run_string(code, &its, registers, records);
        else if (known) {
            uintptr_t at = operand_of(code, &its, registers, (uintptr_t)address), fault = (uintptr_t)address;
            int64_t size = its.size ? its.size : 1;
            known = its.by_bit || (fault >= at && fault - at < (its.size ? (unsigned)its.size : 64u));
            known = known && (its.by_bit || (at >= (uintptr_t)map->at && at + (uintptr_t)size <= (uintptr_t)map->at + map->size));
            uintptr_t first = its.by_bit ? fault / (uintptr_t)size * (uintptr_t)size : at;
            int is_new = 0, nothing = 0;
            if (known && its.vector && !stores && (its.masked || is_search(code, &its))) {
                nothing = !its.masked && at % (uintptr_t)size == 0 && (at + (uintptr_t)size) % 64 == 0; /* may begin before the string */
                size = 1;
            } else if (its.masked)
                size = 1;
            if (known && records && !nothing)
                is_new = record_access(its.atomic ? ATOMIC : stores ? STORE : LOAD, map, (char *)first, size, (void *)code, (void *)registers[REG_RSP], 0);
            if (known && (is_within_budget(page, is_new, its.atomic) || !records))
                done = run_elsewhere(code, &its, registers, at + (uintptr_t)(map->alias - map->at));
        }
        if (!done && open_page(map, address, stores, !known))
            pass_on(number, info, context);
    }
    inside--;
    errno = error;
}

void prepare_accesses(void)
{
    slots = (struct slot *)syscall(SYS_mmap, NULL, SLOT * TURNS * THREADS, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (slots == MAP_FAILED || pthread_key_create(&slot_key, free_slot)) {
        level = CALLS;
        write_text("unwatched\n", 10);
        return;
    }
    char *its = (char *)syscall(SYS_mmap, NULL, SPARE * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    for (int k = 0; k < SPARE && its != MAP_FAILED; k += 2)
        syscall(SYS_mprotect, its + k * PAGE, PAGE, PROT_NONE);
    spare = its == MAP_FAILED ? NULL : its;
    const char *asked = getenv("LAB_WATCH_BUDGET");
    if (asked)
        budget = (uint16_t)atoi(asked);
    prepare_signals(on_fault);
}

/* -- What others read and write on behalf of the program */

void *for_kernel(const void *at, size_t size, enum kind kind, void *caller, void *frame)
{
    struct mapping *map = level == ACCESSES && mapping_count && size ? mapping_at(at) : NULL;
    last_access = NULL;
    if (!map || !map->alias)
        return (void *)at;
    if ((char *)at + size > map->at + map->size || !(map->protection & (kind == STORE ? PROT_WRITE : PROT_READ))) {
        for (const char *each = at; map && each < (const char *)at + size; each = map->at + ((each - map->at) / PAGE + 1) * PAGE, map = mapping_at(each))
            if (map->alias)
                open_page(map, (char *)each, kind == STORE, 1);
        return (void *)at;
    }
    if (log_)
        record_access(kind, map, at, (int64_t)size, caller, frame, 1);
    return map->alias + ((const char *)at - map->at);
}

/* A call read or wrote less than it was asked for. */
void passed(int64_t count)
{
    if (last_access && last_access->length > count)
        last_access->length = count > 0 ? count : 0;
    last_access = NULL;
}

/* A function of the C library has read these bytes on the alias. */
void has_read(const void *at, size_t size, void *caller, void *frame)
{
    struct mapping *map = mapping_at(at);
    if (!map || !map->alias || !recording())
        return;
    struct page *page = &map->pages[((const char *)at - map->at) / PAGE];
    int error = errno;
    inside++;
    if (!page->open && !is_within_budget(page, record_access(LOAD, map, at, (int64_t)size, caller, frame, 1), 0))
        open_page(map, (char *)at, 0, 0);
    inside--;
    errno = error;
}
#endif
