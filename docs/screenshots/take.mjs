import { chromium } from 'playwright-core';

const { CHROMIUM, UI, OUT } = process.env;
const location = 'viral_platform';
const flags = ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
  '--disable-background-networking', '--disable-component-update', '--disable-sync'];
const browser = await chromium.launch({ executablePath: CHROMIUM, args: flags });
const page = await browser.newPage({ viewport: { width: 1600, height: 1000 } });

async function open(path, settle = 2500) {
  await page.goto(`${UI}${path}`);
  await page.waitForFunction(() => document.body.innerText.length > 200);
  await page.waitForTimeout(settle);
}

async function shot(name) {
  await page.screenshot({ path: `${OUT}/${name}.png` });
  console.log(`${name}.png`);
}

await open('/asset-groups', 6000);
await page.keyboard.press('Alt+e'); // expands all groups
await page.waitForTimeout(4000);
await shot('asset-graph');

await open('/assets/tier_model?view=events');
await shot('tier-model-materialization');

// Long markdown is shown behind a button; the picture is in the dialog that it opens.
const buttons = page.getByText('Show Markdown', { exact: false });
for (const [number, name] of [[0, 'tier-model-confusion'], [1, 'tier-model-reliability']]) {
  await buttons.nth(number).click();
  await page.waitForTimeout(1500);
  await shot(name);
  await page.keyboard.press('Escape');
  await page.waitForTimeout(500);
}

await open('/assets/tier_model?view=checks');
await shot('tier-model-checks');

await open(`/locations/${location}/jobs/retrain_ml`);
await shot('job-retrain');
await browser.close();
