/* One instruction of x86-64 that touches memory: where its parts stand, and what it does there. */

#ifndef LAB_INSTRUCTIONS_H
#define LAB_INSTRUCTIONS_H

#include <stdint.h>
#include <ucontext.h>

struct instruction {
    int length, map, opcode, rex, vex; /* places of the prefixes, -1 where there is none */
    int operand, displacement, displacement_size, immediate, based;
    int repeat, locked, narrow, wide, evex, vector_form;
    int string; /* the opcode of an instruction that counts its registers up, else 0 */
    int size;   /* bytes that the operand has, 0 where that is not known */
    int masked, by_bit, atomic, vector;
};

int decode(const unsigned char *code, struct instruction *its);
uintptr_t operand_of(const unsigned char *code, const struct instruction *its, const greg_t *registers, uintptr_t fault);
void move_operand(unsigned char *to, const unsigned char *code, const struct instruction *its, uint32_t address, uint64_t next);
int is_search(const unsigned char *code, const struct instruction *its);

#endif
