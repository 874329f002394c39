module vanne/load/h2_fairness

go 1.24
