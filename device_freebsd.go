package netmap

const freebsdBit = 1<<32 - 1
