/* The first addresses of names that the checker will look up again and again.
 */
#ifndef PROXYD_MASTER_FIRST_H
#define PROXYD_MASTER_FIRST_H

struct conf;
struct shm;

#define FIRST_TIMEOUT_MS 1000

/* Looks them up, all at the same time and for FIRST_TIMEOUT_MS at most, and writes what they gave to shared
 * memory. Before the checker is there. What does not resolve by then is the checker's to say. */
void first_resolve(const struct conf *conf, struct shm *shm);

#endif
