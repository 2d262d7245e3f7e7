/* Writes instructions of x86-64 that take an operand at (%rax), 16 bytes each, to a file, and prints what the decoder says of
   each: where it stands, its length, and the size of its operand. */

#include "_instructions.c"

enum { LEGACY, VEX, EVEX };
static const unsigned char prefixes[4] = {0, 0x66, 0xf3, 0xf2};

static void tell(FILE *file, int form, int map, int op, int prefix, int wide, int vector, int spread, int reg)
{
    unsigned char code[16];
    int at = 0;
    memset(code, 0x90, sizeof code);
    if (form == LEGACY) {
        if (prefix)
            code[at++] = prefixes[prefix];
        if (wide)
            code[at++] = 0x48;
        if (map)
            code[at++] = 0x0f;
        if (map > 1)
            code[at++] = map == 2 ? 0x38 : 0x3a;
    } else if (form == VEX)
        code[at++] = 0xc4, code[at++] = (unsigned char)(0xe0 | map), code[at++] = (unsigned char)(wide << 7 | 0x78 | vector << 2 | prefix);
    else
        code[at++] = 0x62, code[at++] = (unsigned char)(0xf0 | map), code[at++] = (unsigned char)(wide << 7 | 0x7c | prefix), code[at++] = (unsigned char)(vector << 5 | spread << 4 | 8);
    code[at++] = (unsigned char)op;
    code[at] = (unsigned char)(reg << 3);
    struct instruction its;
    if (decode(code, &its) && !its.string && its.size) {
        printf("%lx %d %d\n", ftell(file), its.length, its.size);
        fwrite(code, 1, sizeof code, file);
    }
}

int main(int count, char **words)
{
    FILE *file = count == 2 ? fopen(words[1], "wb") : NULL;
    if (!file)
        return 2;
    for (int op = 0; op < 256; op++)
        for (int prefix = 0; prefix < 4; prefix++)
            for (int wide = 0; wide < 2; wide++) {
                int is_prefix = op == 0x0f || op == 0x62 || op == 0xc4 || op == 0xc5 || (op & 0xf0) == 0x40;
                for (int reg = 0; reg < 8 && !is_prefix; reg++)
                    tell(file, LEGACY, 0, op, prefix, wide, 0, 0, reg);
                for (int map = 1; map <= 3; map++)
                    for (int vector = 0; vector < 6; vector++) {
                        if (!vector)
                            tell(file, LEGACY, map, op, prefix, wide, 0, 0, 2);
                        if (vector < 2)
                            tell(file, VEX, map, op, prefix, wide, vector, 0, 2);
                        tell(file, EVEX, map, op, prefix, wide, vector / 2, vector % 2, 2);
                    }
            }
    return fclose(file) != 0;
}
