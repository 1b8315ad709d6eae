/* The first addresses of names that the checker will look up again and again.
 */
#ifndef PROXYD_MASTER_FIRST_H
#define PROXYD_MASTER_FIRST_H

struct conf;
struct event_base;
struct first;
struct shm;

#define FIRST_TIMEOUT_MS 1000

typedef void first_done_fn(void *arg);

/* Looks them up in this loop, all at the same time and for FIRST_TIMEOUT_MS at most, and writes what they gave to shared
 * memory: only for servers that the serving generation does not have, which no checker knows. What does not resolve by
 * then is the checker's to say. conf is borrowed until first_free, which may come at any time. on_done comes from the
 * loop. */
struct first *first_begin(struct event_base *base, const struct conf *conf, struct shm *shm,
	first_done_fn *on_done, void *arg);
void first_free(struct first *first); /* NULL is fine */

/* The same at once, before there is a checker. */
void first_resolve(const struct conf *conf, struct shm *shm);

#endif
