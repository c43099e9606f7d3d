/* complaint: a setting that does not hold, told on a terminal. */
#ifndef POSTERN_COMPLAINT_H
#define POSTERN_COMPLAINT_H

/* Writes `program: NAME: "value" is why` to descriptor 2. It is a knob_complaint; its context is the
 * program's name, a C string. */
void complaint_tell(void *program, const char *name, const char *value, const char *why);

#endif
