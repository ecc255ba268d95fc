-- `:Inkling`, and a start with the defaults where nobody calls setup.
if vim.g.loaded_inkling then
  return
end
vim.g.loaded_inkling = 1

vim.api.nvim_create_user_command("Inkling", function(command)
  require("inkling.commands").run(command.fargs)
end, {
  nargs = "*",
  complete = function(begun, line, col)
    return require("inkling.commands").complete(begun, line:sub(1, col))
  end,
  desc = "Ask something of Inkling",
})

local function start()
  if not require("inkling").is_set_up then
    require("inkling").setup({})
  end
end

if vim.v.vim_did_enter == 1 then
  vim.schedule(start) -- whoever loads plugins late may call setup right after
else
  vim.api.nvim_create_autocmd("VimEnter", { once = true, callback = start })
end
