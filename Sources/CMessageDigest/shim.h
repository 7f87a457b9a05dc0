// SHA-256 of libmd, the message digest functions of the BSDs.
#include <sys/types.h>
#include <sha2.h>
