module github.com/seed-48afdc40/netmap

go 1.26
