package netmap

const freebsdBit = 0
