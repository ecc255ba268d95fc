std = "luajit"
read_globals = { vim = { other_fields = true, fields = { "g", "bo" } } }
globals = { "vim.g", "vim.bo" }
max_line_length = 100
