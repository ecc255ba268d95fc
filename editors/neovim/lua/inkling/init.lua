--- Inkling in Neovim: ghost text from a model on this machine. See |inkling|.
---
--- A client shows what the server answers and reports what became of it, and decides nothing.
local config = require("inkling.config")

local M = {}

M.is_set_up = false

local function complain(problems)
  if #problems > 0 then
    local text = "inkling: " .. table.concat(problems, "\ninkling: ")
    vim.notify(text, vim.log.levels.ERROR)
  end
end

--- Start with `options`, see |inkling-options|. What makes no sense is named, and the rest holds.
function M.setup(options)
  local problems
  config.options, problems = config.read(options or {})
  M.is_set_up = true
  complain(problems)
  local client, ghost = require("inkling.client"), require("inkling.ghost")
  require("inkling.program") -- follows the status
  ghost.highlight()
  require("inkling.keys").map_all()
  local group = vim.api.nvim_create_augroup("inkling", { clear = true })
  vim.api.nvim_create_autocmd("ColorScheme", { group = group, callback = ghost.highlight })
  client.follow_buffers(group)
  client.attach_all()
end

local function native()
  return config.options.native and vim.lsp.inline_completion
end

--- Whether there is something that a key of ours is for.
function M.is_visible()
  if native() then
    return vim.fn.pumvisible() == 0
      and #vim.api.nvim_buf_get_extmarks(
          0,
          vim.api.nvim_create_namespace("nvim.lsp.inline_completion"),
          0,
          -1,
          { limit = 1 }
        )
        > 0
  end
  return require("inkling.completion").is_visible()
end

--- Insert what is shown: `part` is "all", "word" or "line". Return whether there was something.
function M.accept(part)
  if native() then
    return native().get()
  end
  return require("inkling.completion").accept(part or "all")
end

--- Take back what is shown.
function M.dismiss()
  require("inkling.completion").forget()
end

--- Ask for a suggestion at the cursor.
function M.request()
  require("inkling.completion").request()
end

local function select(step)
  if native() then
    native().select({ count = step })
  else
    require("inkling.completion").select(step)
  end
end

--- Show the next suggestion.
function M.next()
  select(1)
end

--- Show the one before.
function M.previous()
  select(-1)
end

--- Return a line for 'statusline'.
function M.statusline()
  return require("inkling.status").line()
end

return M
