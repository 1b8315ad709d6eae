/* Which names are taken: a hash from names to objects, so that 10,000 of them cost no more than 10,000
 * look-ups.
 */
#ifndef PROXYD_CONF_NAMES_H
#define PROXYD_CONF_NAMES_H

struct arena;
struct names;

/* It lives in arena, and goes with it. */
struct names *names_new(struct arena *arena);

/* Returns NULL when name is new and now object's; else whose it is. name is borrowed. */
void *names_add(struct names *names, const char *name, void *object);
void *names_find(const struct names *names, const char *name);

#endif
