// The two ways from the opened page to what made one access slow, step by step: walked by a test, taken as pictures
// for docs/VIEWER.md. Each step leaves the page as its picture shows it.

const fit = (page) => page.getByRole('button', { name: 'Fit to accesses' });
const notify = (page) => page.locator('.tree tr.key', { hasText: 'QueueNotify' });

export const MOUSE = [
  {
    name: 'box',
    async act(page) {
      await fit(page).click();
      await page.waitForFunction(() => location.hash.includes('w='));
      const box = await page.locator('canvas.interactive').boundingBox();
      await page.mouse.move(box.x + 62, box.y + 4);
      await page.mouse.down();
      await page.mouse.move(box.x + box.width * 0.84, box.y + box.height * 0.42, { steps: 4 });
      await page.mouse.up();
      await page.waitForSelector('.chip:has-text("box")');
    },
  },
  {
    name: 'register',
    async act(page) {
      await notify(page).click();
      await page.waitForSelector('.chip:has-text("QueueNotify")');
      await page.locator('.outliers tbody tr:has-text("QueueNotify")').first().waitFor();
      await page.locator('section[aria-label="Slowest"]').scrollIntoViewIfNeeded();
    },
  },
  {
    name: 'timeline',
    async act(page) {
      await page.locator('.outliers tbody tr').first().click();
      await page.waitForSelector('#timeline-steps tr.own');
    },
  },
];

export const KEYBOARD = [
  {
    name: 'row',
    async act(page) {
      // Tab goes through the bar and the tabs into the tree of devices.
      for (let n = 0; n < 30; n++) {
        await page.keyboard.press('Tab');
        if ((await page.locator('.tree tr.key:focus', { hasText: 'QueueNotify' }).count()) > 0) return;
      }
      throw new Error('Tab does not reach QueueNotify');
    },
  },
  {
    name: 'chosen',
    async act(page) {
      await page.keyboard.press('Enter');
      await page.waitForSelector('.chip:has-text("QueueNotify")');
      await page.locator('.outliers tbody tr:has-text("QueueNotify")').first().waitFor();
    },
  },
  {
    name: 'story',
    async act(page) {
      await page.keyboard.press('Period');
      await page.waitForSelector('#timeline-steps tr.own');
      await page.keyboard.press('KeyF');
      await page.waitForFunction(() => location.hash.includes('x='));
    },
  },
];
