/* A line of text put together piece by piece: for those that are written for every connection, where printf would cost
 * more than all the rest that is ours.
 */
#ifndef PROXYD_COMMON_LINE_H
#define PROXYD_COMMON_LINE_H

#include <stddef.h>
#include <stdint.h>

struct line {
	char *at;  /* where the next piece goes */
	char *end; /* of the room: what does not fit is cut off */
};

void line_begin(struct line *line, char *buf, size_t buf_bytes);
void line_text(struct line *line, const char *text);
void line_char(struct line *line, char c);
void line_uint(struct line *line, uint64_t number);
void line_int(struct line *line, int64_t number);
void line_hex(struct line *line, uint64_t number);   /* lower case, without 0x */
void line_milli(struct line *line, unsigned number); /* three digits */

#endif
