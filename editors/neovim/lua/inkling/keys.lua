--- The keys of insert mode. Where there is nothing to do for us, a key does what it did before.
local config = require("inkling.config")

local M = {}

local MODE = "i"

local mapped = {} -- what stood in a key's place, by key

local function is_visible()
  return require("inkling").is_visible()
end

local function always()
  return true
end

local ACTIONS = {
  accept = { "accept('all')", is_visible },
  accept_word = { "accept('word')", is_visible },
  accept_line = { "accept('line')", is_visible },
  dismiss = { "dismiss()", is_visible },
  request = { "request()", always },
  next = { "next()", is_visible },
  previous = { "previous()", is_visible },
}

--- Return the keys that stand for what `old`, a mapping of before, or the bare key would do.
local function fallback(key, old)
  if not old then
    return key
  end
  if old.callback and old.expr == 1 then
    return old.callback() or ""
  end
  if old.callback then
    return ("<Cmd>lua require('inkling.keys').run_old(%q)<CR>"):format(key:gsub("<", "<lt>"))
  end
  return old.expr == 1 and vim.api.nvim_eval(old.rhs) or old.rhs
end

--- Call the function that a key was mapped to before.
function M.run_old(key)
  mapped[key].callback()
end

-- What Neovim's own module has; the other keys stay as they were.
local NATIVE = { accept = true, next = true, previous = true }

--- Return what a key is mapped to in all buffers, or false.
local function mapping_of(key)
  local lhs = vim.fn.maparg(key, MODE, false, true).lhs
  for _, one in ipairs(lhs and vim.api.nvim_get_keymap(MODE) or {}) do
    if one.lhs == lhs then
      return one
    end
  end
  return false
end

local function unmap_all()
  for key, old in pairs(mapped) do
    pcall(vim.keymap.del, MODE, key)
    if old then
      vim.keymap.set(MODE, key, old.callback or old.rhs, {
        expr = old.expr == 1,
        remap = old.noremap == 0,
        silent = old.silent == 1,
        desc = old.desc,
        replace_keycodes = old.expr == 1 and old.replace_keycodes == 1 or nil,
      })
    end
  end
  mapped = {}
end

local function map(key, action)
  local old = mapping_of(key)
  mapped[key] = old
  local call, applies = action[1], action[2]
  vim.keymap.set(MODE, key, function()
    if applies() then
      -- What is accepted is undone by itself.
      return ("<C-g>u<Cmd>lua require('inkling').%s<CR>"):format(call)
    end
    return fallback(key, old)
  end, { expr = true, remap = old and old.noremap == 0, desc = "inkling: " .. call })
end

--- Map the keys that the options name, in place of those mapped before.
function M.map_all()
  unmap_all()
  for name, key in pairs(config.options.keys) do
    if key and (NATIVE[name] or not config.options.native) then
      map(key, ACTIONS[name])
    end
  end
end

return M
