/* Machine instructions of x86-64 that touch memory: where their operand stands, how long it is, and the same instruction
   with its operand elsewhere. Source: Intel 64 and IA-32 Architectures Software Developer's Manual, volume 2, chapter 2
   and appendix A. What is not certain here is not decoded; then the program runs the instruction itself. */

#include "_watch.h"

#ifdef __x86_64__
#include "_instructions.h"

static int has_operand(int op)
{
    if (op < 0x40)
        return (op & 7) < 4;
    switch (op) {
    case 0x63: case 0x69: case 0x6b: case 0xc0: case 0xc1: case 0xc6: case 0xc7: case 0xf6: case 0xf7: case 0xfe: case 0xff:
        return 1;
    }
    return (op >= 0x80 && op <= 0x8c) || op == 0x8e || op == 0x8f || (op >= 0xd0 && op <= 0xd3) || (op >= 0xd8 && op <= 0xdf);
}

static int has_operand_0f(int op)
{
    return (op >= 0x10 && op <= 0x17) || (op >= 0x28 && op <= 0x2f) || (op >= 0x40 && op <= 0x6f) || op == 0x70 ||
           (op >= 0x74 && op <= 0x76) || (op >= 0x7c && op <= 0x7f) || (op >= 0x90 && op <= 0x9f) || (op >= 0xa3 && op <= 0xa5) ||
           (op >= 0xab && op <= 0xaf) || (op >= 0xb0 && op <= 0xb1) || op == 0xb3 || op == 0xb6 || op == 0xb7 || op == 0xb8 ||
           (op >= 0xba && op <= 0xc7 && op != 0xb9) || (op >= 0xd0 && op <= 0xfe);
}

static int x87_size(int op, int reg)
{
    static const unsigned char sizes[8][8] = {
        {4, 4, 4, 4, 4, 4, 4, 4}, {4, 0, 4, 4, 28, 2, 28, 2}, {4, 4, 4, 4, 4, 4, 4, 4}, {4, 4, 4, 4, 0, 10, 0, 10},
        {8, 8, 8, 8, 8, 8, 8, 8}, {8, 8, 8, 8, 108, 0, 108, 2}, {2, 2, 2, 2, 2, 2, 2, 2}, {2, 2, 2, 2, 10, 8, 10, 8}};
    return sizes[op - 0xd8][reg];
}

/* Compare and add (cmpccxadd), which is atomic as what has the prefix lock. */
static int is_compare_and_add(const struct instruction *its) { return its->map == 2 && its->vector_form && !its->evex && its->opcode >= 0xe0 && its->opcode <= 0xef; }

/* The length of the operand, of which one element is spread over a vector or not; 0 where it is not known. */
static int size_of(const struct instruction *its, int reg, int vector, int spread)
{
    int op = its->opcode, word = its->wide ? 8 : its->narrow ? 2 : 4;
    int scalar = its->repeat == 0xf3 ? 4 : its->repeat == 0xf2 ? 8 : vector;
    if (its->map == 0) {
        if (op >= 0xd8 && op <= 0xdf)
            return x87_size(op, reg);
        if (op == 0x63)
            return 4;
        if (op == 0x8c || op == 0x8e)
            return 2;
        if (op == 0x8f || (op == 0xff && reg == 6))
            return its->narrow ? 2 : 8;
        if (op == 0x69 || op == 0x6b || op == 0x83)
            return word;
        return op & 1 ? word : 1;
    }
    int element = its->wide ? 8 : 4, half = its->map == 3 && !its->narrow && !its->repeat; /* half: numbers of 16 bits */
    if (spread)
        return half ? 2 : element;
    if (its->map == 2) {
        if (!its->vector_form && (op == 0xf0 || op == 0xf1))
            return its->repeat == 0xf2 ? (op == 0xf0 ? 1 : word) : word; /* crc32, movbe */
        if (!its->vector_form && op >= 0xf5)
            return element;
        if (its->evex && its->repeat == 0xf2 && (op == 0x52 || op == 0x53 || (op & 0xfe) == 0x9a || (op & 0xfe) == 0xaa))
            return 16; /* four steps at once */
        if (((op & 0xef) >= 0x20 && (op & 0xef) <= 0x25) || (its->evex && its->repeat && op >= 0x10 && op <= 0x15)) {
            static const unsigned char parts[6] = {2, 4, 8, 2, 4, 2}; /* words made wider or narrower: a part of a vector */
            return vector / parts[op & 7];
        }
        if (op == 0x13)
            return vector / 2;
        if (its->vector_form && op >= 0xf2)
            return element; /* andn, bextr, pdep, ... */
        if (its->vector_form && !its->evex && op == 0xb1)
            return 2;
        if (op == 0x18 || op == 0x58)
            return 4;
        if (op == 0x19 || op == 0x59)
            return 8;
        if (op == 0x1a || op == 0x5a)
            return 16;
        if (op == 0x1b || op == 0x5b)
            return 32;
        if (op == 0x78)
            return 1;
        if (op == 0x79)
            return 2;
        if (op >= 0x96 && op <= 0xbf && (op & 1) && (op & 15) >= 9)
            return element; /* scalar multiply and add */
        if (its->evex && (op == 0x2d || op == 0x43 || op == 0x4d || op == 0x4f || op == 0xcb || op == 0xcd))
            return element; /* scalar forms of the opcode before */
        if (is_compare_and_add(its))
            return element;
        return its->vector_form || its->narrow || op >= 0x80 ? vector : 8;
    }
    if (its->map == 3) {
        if (op == 0x14 || op == 0x20)
            return 1;
        if (op == 0x15)
            return 2;
        if (op == 0x16 || op == 0x22)
            return element;
        if (op == 0x17 || op == 0x21 || op == 0x0a)
            return op == 0x0a && half ? 2 : 4;
        if (op == 0x0b || op == 0xf0)
            return op == 0x0b ? 8 : word;
        if (op == 0x18 || op == 0x19 || op == 0x38 || op == 0x39)
            return 16;
        if (op == 0x1a || op == 0x1b || op == 0x3a || op == 0x3b)
            return 32;
        if (op == 0x1d)
            return vector / 2;
        if (its->evex && (op == 0x27 || op == 0x51 || op == 0x55 || op == 0x57 || op == 0x67))
            return half ? 2 : element;
        if (op == 0xc2)
            return its->repeat ? 2 : vector;
        if (op == 0x0f && half && !its->vector_form)
            return 8;
        return op < 0x60 || (its->evex && op <= 0x73) || op >= 0xcc ? vector : 0;
    }
    switch (op) {
    case 0x10: case 0x11: case 0x51: case 0x58: case 0x59: case 0x5c: case 0x5d: case 0x5e: case 0x5f: case 0xc2: case 0x52: case 0x53:
    case 0x2b:
        return scalar;
    case 0x12: case 0x16:
        return its->repeat == 0xf3 ? vector : its->repeat == 0xf2 && vector > 16 ? vector : 8;
    case 0x13: case 0x17: case 0xd6:
        return 8;
    case 0x2a:
        return its->repeat ? word : 8;
    case 0x2c: case 0x2d:
        return its->repeat == 0xf3 ? 4 : its->narrow ? 16 : 8;
    case 0x2e: case 0x2f:
        return its->narrow ? 8 : 4;
    case 0x5a:
        return its->repeat ? scalar : its->narrow ? vector : vector / 2;
    case 0xe6:
        return its->repeat == 0xf3 && !(its->evex && its->wide) ? vector / 2 : vector;
    case 0x6e:
        return its->wide ? 8 : 4;
    case 0x7e:
        return its->repeat == 0xf3 || its->wide ? 8 : 4;
    case 0xae:
        return reg == 2 || reg == 3 ? 4 : 0;
    case 0xb6: case 0xbe: case 0xb0: case 0xc0:
        return 1;
    case 0xb7: case 0xbf: case 0xc4:
        return 2;
    case 0xc7:
        return reg == 1 ? (its->wide ? 16 : 8) : 0;
    case 0xc3:
        return word;
    }
    if (op >= 0x90 && op <= 0x9f)
        return !its->vector_form ? 1 : its->wide ? (its->narrow ? 4 : 8) : its->narrow ? 1 : 2; /* masks */
    if ((op >= 0x40 && op <= 0x4f) || (op >= 0xa3 && op <= 0xad) || op == 0xaf || op == 0xb1 || op == 0xb3 || (op >= 0xb8 && op <= 0xbd) || op == 0xc1)
        return word;
    if ((op >= 0xd1 && op <= 0xd3) || op == 0xe1 || op == 0xe2 || (op >= 0xf1 && op <= 0xf3))
        return its->vector_form || its->narrow ? 16 : 8; /* the count of a shift */
    if (op >= 0x60 && op <= 0x62 && !its->vector_form && !its->narrow)
        return 4;
    int mmx = !its->vector_form && !its->narrow && !its->repeat && op >= 0x60;
    return mmx && op != 0xc6 ? 8 : vector;
}

/* Which forms read an operand that they do not use whole: masked ones, by a register or by the form. */
static int is_masked(const unsigned char *code, const struct instruction *its)
{
    if (its->evex && code[its->vex + 3] & 7)
        return 1;
    return its->map == 2 && its->vector_form && ((its->opcode >= 0x2c && its->opcode <= 0x2f) || its->opcode == 0x8c || its->opcode == 0x8e);
}

int decode(const unsigned char *code, struct instruction *its)
{
    static const unsigned char prefixes[4] = {0, 0x66, 0xf3, 0xf2};
    int at = 0, op, immediate = 0, vector = 16;
    memset(its, 0, sizeof *its);
    its->rex = its->vex = -1;
    for (;; at++) {
        int byte = code[at];
        if (byte == 0x66)
            its->narrow = 1;
        else if (byte == 0xf2 || byte == 0xf3)
            its->repeat = byte;
        else if (byte == 0xf0)
            its->locked = 1;
        else if (byte != 0x2e && byte != 0x36 && byte != 0x3e && byte != 0x26)
            break;
        if (at > 10)
            return 0;
    }
    if (code[at] == 0x67 || code[at] == 0x64 || code[at] == 0x65) /* addresses of 32 bits, and those of threads */
        return 0;
    if ((code[at] & 0xf0) == 0x40) {
        its->rex = at;
        its->wide = code[at++] >> 3 & 1;
    }
    if (code[at] == 0xc5 || code[at] == 0xc4 || code[at] == 0x62) {
        int last; /* the byte with the length of the vector and the prefix that it stands for */
        its->vex = at;
        its->vector_form = 1;
        if (code[at] == 0xc5)
            its->map = 1, last = at + 1, at += 2;
        else if (code[at] == 0xc4)
            its->map = code[at + 1] & 31, last = at + 2, its->wide = code[at + 2] >> 7, at += 3;
        else
            its->evex = 1, its->map = code[at + 1] & 7, last = at + 2, its->wide = code[at + 2] >> 7, at += 4;
        vector = its->evex ? 16 << (code[its->vex + 3] >> 5 & 3) : code[last] & 4 ? 32 : 16;
        its->narrow = prefixes[code[last] & 3] == 0x66;
        its->repeat = prefixes[code[last] & 3] == 0x66 ? 0 : prefixes[code[last] & 3];
        if (its->map < 1 || its->map > 3 || vector > 64)
            return 0;
    } else if (code[at] == 0x0f) {
        its->map = 1;
        at++;
        if (code[at] == 0x38 || code[at] == 0x3a)
            its->map = code[at++] == 0x38 ? 2 : 3;
    }
    op = its->opcode = code[at++];
    if (its->map == 0 && ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf))) {
        its->string = op;
        its->length = at;
        its->size = op & 1 ? (its->wide ? 8 : its->narrow ? 2 : 4) : 1;
        return 1;
    }
    if (its->map == 0 ? !has_operand(op) : its->map == 1 ? !has_operand_0f(op) : 0)
        return 0;
    if (its->map == 2 && its->vector_form && ((op >= 0x90 && op <= 0x93) || (op >= 0xa0 && op <= 0xa3) || op == 0xc6 || op == 0xc7))
        return 0; /* many addresses at once */
    if (its->map == 2 && !its->vector_form && op == 0xf8)
        return 0; /* two operands */
    int mode = code[at] >> 6, low = code[at] & 7, reg = code[at] >> 3 & 7;
    if (mode == 3 || (mode == 0 && low == 5)) /* a register; an address beside the code */
        return 0;
    if (its->map == 0 && ((op == 0xff && reg >= 2 && reg <= 5) || (op == 0xff && reg == 7) || (op == 0x8f && reg)))
        return 0; /* calls and jumps; other machines' forms */
    if (its->map == 0) {
        int word = its->narrow && !its->wide ? 2 : 4;
        if (op == 0x69 || op == 0x81 || op == 0xc7 || (op == 0xf7 && reg < 2))
            immediate = word;
        if (op == 0x6b || op == 0x80 || op == 0x83 || op == 0xc0 || op == 0xc1 || op == 0xc6 || (op == 0xf6 && reg < 2))
            immediate = 1;
    } else if (its->map == 1)
        immediate = op == 0x70 || op == 0xa4 || op == 0xac || op == 0xba || op == 0xc2 || (op >= 0xc4 && op <= 0xc6);
    else
        immediate = its->map == 3;
    its->operand = at++;
    its->based = 1;
    if (low == 4) {
        its->based = !((code[at] & 7) == 5 && mode == 0);
        at++;
    }
    its->displacement = at;
    its->displacement_size = mode == 1 ? 1 : mode == 2 || !its->based ? 4 : 0;
    its->immediate = immediate;
    its->length = at + its->displacement_size + immediate;
    its->size = size_of(its, reg, vector, its->evex && code[its->vex + 3] & 0x10);
    its->masked = is_masked(code, its);
    its->by_bit = its->map == 1 && (op == 0xa3 || op == 0xab || op == 0xb3 || op == 0xbb);
    its->atomic = its->locked || (its->map == 0 && (op == 0x86 || op == 0x87)) || is_compare_and_add(its);
    its->vector = (its->map && !its->by_bit && its->size >= 16) || its->masked;
    return its->length <= 15;
}

static const int numbers[16] = {REG_RAX, REG_RCX, REG_RDX, REG_RBX, REG_RSP, REG_RBP, REG_RSI, REG_RDI,
                                REG_R8, REG_R9, REG_R10, REG_R11, REG_R12, REG_R13, REG_R14, REG_R15};

/* The address of the operand. That of an EVEX form counts its displacement in units which depend on the instruction: the
   unit is the one that leads to the address of the fault. */
uintptr_t operand_of(const unsigned char *code, const struct instruction *its, const greg_t *registers, uintptr_t fault)
{
    int index_high = 0, base_high = 0, low = code[its->operand] & 7;
    int64_t displacement = 0;
    uintptr_t address = 0;
    if (its->rex >= 0)
        index_high = code[its->rex] >> 1 & 1, base_high = code[its->rex] & 1;
    if (its->vex >= 0 && code[its->vex] != 0xc5)
        index_high = !(code[its->vex + 1] & 0x40), base_high = !(code[its->vex + 1] & 0x20);
    if (its->displacement_size == 1)
        displacement = (int8_t)code[its->displacement];
    else if (its->displacement_size == 4) {
        int32_t wide;
        memcpy(&wide, code + its->displacement, 4);
        displacement = wide;
    }
    if (low == 4) {
        int scaled = code[its->operand + 1], base = (scaled & 7) | base_high << 3, index = (scaled >> 3 & 7) | index_high << 3;
        if (its->based)
            address = (uintptr_t)registers[numbers[base]];
        if (its->map == 0 && its->opcode == 0x8f && base == 4)
            address += (uintptr_t)its->size; /* pop counts from the stack as it is afterwards */
        if (index != 4)
            address += (uintptr_t)registers[numbers[index]] << (scaled >> 6);
    } else
        address = (uintptr_t)registers[numbers[low | base_high << 3]];
    if (!its->evex || its->displacement_size != 1 || !displacement)
        return address + (uintptr_t)displacement;
    uintptr_t near = 0;
    for (int unit = 1; unit <= 64; unit *= 2) {
        uintptr_t try = address + (uintptr_t)(displacement * unit);
        if (try == fault)
            return try;
        if (fault - try < 64)
            near = try;
    }
    return near;
}

/* Write the instruction with its operand at an address below 2 GiB, and a jump to what follows it. */
void move_operand(unsigned char *to, const unsigned char *code, const struct instruction *its, uint32_t address, uint64_t next)
{
    int at = its->operand;
    memcpy(to, code, (size_t)at);
    if (its->rex >= 0)
        to[its->rex] &= 0xfc;
    if (its->vex >= 0 && code[its->vex] != 0xc5)
        to[its->vex + 1] |= 0x60;
    to[at++] = (unsigned char)((code[its->operand] & 0x38) | 4);
    to[at++] = 0x25;
    memcpy(to + at, &address, 4);
    at += 4;
    memcpy(to + at, code + its->length - its->immediate, (size_t)its->immediate);
    at += its->immediate;
    memcpy(to + at, "\xff\x25\0\0\0\0", 6);
    memcpy(to + at + 6, &next, 8);
}

/* Whether what a vector load has read is searched for a byte (strlen, memchr): then it reads more than it uses. The
   instruction that turns a vector of comparisons into bits follows soon: pmovmskb, ptest, or an EVEX comparison. */
int is_search(const unsigned char *code, const struct instruction *its)
{
    const unsigned char *end = (const unsigned char *)(((uintptr_t)code | 4095) + 1); /* of what can be read for sure */
    if (its->evex && (its->map == 3 ? (its->opcode & 0xdf) == 0x1e || (its->opcode & 0xdf) == 0x1f : its->map == 1 && its->opcode >= 0x74 && its->opcode <= 0x76))
        return 1;
    if (end > code + 96)
        end = code + 96;
    for (const unsigned char *at = code; at + 6 < end; at++) {
        if (at[0] == 0x0f && (at[1] == 0xd7 || (at[1] == 0x38 && at[2] == 0x17)))
            return 1;
        if ((at[0] == 0xc5 && at[2] == 0xd7) || (at[0] == 0xc4 && (at[1] & 31) == 1 && at[3] == 0xd7) || (at[0] == 0xc4 && (at[1] & 31) == 2 && at[3] == 0x17))
            return 1;
        if (at[0] == 0x62 && (((at[1] & 7) == 3 && ((at[4] & 0xdf) == 0x1e || (at[4] & 0xdf) == 0x1f)) || ((at[1] & 7) == 1 && at[4] >= 0x74 && at[4] <= 0x76) || ((at[1] & 7) == 2 && (at[4] & 0xfe) == 0x26)))
            return 1;
    }
    return 0;
}
#endif
